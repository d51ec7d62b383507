"""Environments of one's own, handed over to the worker processes that step them."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import re
import sys
import zlib
from collections.abc import Callable
from typing import Any

import cloudpickle
import gymnasium as gym

#: What `train` takes an environment as: an id, a class of Gymnasium's `Env`, or any callable that makes one.
Environment = str | Callable[..., gym.Env[Any, Any]]

#: Characters of a pickled callable, at most: it is kept in the run's configuration.
MOST = 1 << 20

#: Environment variables that worker processes read: where modules are, and the hashes of callables that may be loaded.
PATH, TRUST = "AGON_PYTHONPATH", "AGON_TRUST"


def handed_over(env: Environment) -> tuple[str, str | None]:
    """The id of an environment, and where that does not say all, what makes it as text.

    A class of an environment that others can import is named, `python:my_package.envs:MyEnv`; every other callable is pickled.

    Raises
        TypeError: if it is neither an id nor a callable.
        ValueError: if it cannot be pickled, or is too large.
    """
    share_modules()
    if isinstance(env, str):
        return env, None
    _refuse_uncallable(env)
    if isinstance(env, type) and issubclass(env, gym.Env) and _is_importable(env):
        return f"python:{env.__module__}:{env.__qualname__}", None
    return f"python:{_name(env)}", pickled(env)


def pickled(env: Callable[..., gym.Env[Any, Any]]) -> str:
    """A callable as text, which this process trusts from now on.

    Raises
        TypeError, ValueError: as :func:`handed_over`.
    """
    _refuse_uncallable(env)
    try:
        code = cloudpickle.dumps(env)
    except Exception as error:
        raise ValueError(f"env: expected a callable that can be pickled, got {env!r}: {error}") from error
    version = "{}.{}".format(*sys.version_info)
    text = f"{version}:{base64.b64encode(zlib.compress(code, 9)).decode()}"
    if len(text) > MOST:
        hint = "load large data where the environment is made instead of capturing it"
        raise ValueError(f"env: expected a callable of at most {MOST} characters when pickled, got {len(text)}: {hint}")
    trust(text)
    return text


def trust(text: str) -> None:
    """Lets worker processes load a pickled callable, which runs whatever code is in it."""
    share_modules()
    digest = hashlib.sha256(text.encode()).hexdigest()
    trusted = [known for known in os.environ.get(TRUST, "").split(",") if known]
    if digest not in trusted:
        os.environ[TRUST] = ",".join([*trusted, digest])


def share_modules() -> None:
    """Worker processes of this interpreter find the modules that this one finds."""
    if os.environ.get("AGON_PYTHON") == sys.executable:
        os.environ[PATH] = os.pathsep.join(os.path.abspath(path) for path in sys.path)


def _refuse_uncallable(env: Any) -> None:
    if isinstance(env, gym.Env) or not callable(env):
        expected = "a callable that makes a new environment at each call, such as a class or `lambda: MyEnv()`"
        raise TypeError(f"env: expected {expected}, got {env!r}")


def _is_importable(kind: type) -> bool:
    if kind.__module__ == "__main__" or "<" in kind.__qualname__:
        return False
    module = sys.modules.get(kind.__module__)
    try:
        return functools.reduce(getattr, kind.__qualname__.split("."), module) is kind and module.__spec__ is not None
    except AttributeError:
        return False


def _name(env: Callable[..., Any]) -> str:
    """A name for people, and for the run's directory."""
    while isinstance(env, functools.partial):
        env = env.func
    name = getattr(env, "__qualname__", type(env).__qualname__)
    return re.sub(r"[^\w.-]", "", name.replace("<locals>.", ""))
