"""How environments are made: by `gymnasium.make`, by a class that is named, or by a callable that was pickled."""

import base64
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import pickle
import sys
import zlib

import gymnasium

from agon_worker import Unfit

#: Packages that register the ids which begin so when they are imported.
PACKAGES = {"ALE/": "ale_py", "MiniGrid-": "minigrid", "BabyAI-": "minigrid"}
#: Packages that decide what environments do, if they are there after an environment was made.
ENGINES = ("gymnasium", "numpy", "mujoco", "ale_py", "Box2D", "minigrid", "pybullet", "pymunk", "dm_control", "jax")
#: Environment variables: where the program that called finds modules, and the hashes of callables that are trusted.
PATH, TRUST = "AGON_PYTHONPATH", "AGON_TRUST"


def find_modules():
    """Modules are looked for where the program that called finds them."""
    theirs = [path for path in os.environ.get(PATH, "").split(os.pathsep) if path]
    sys.path[:] = theirs + [path for path in sys.path if path not in theirs]


def maker(kind, module, args):
    """What makes an environment, as the other side tells it."""
    if module is not None:
        import_named(module, f"env.module names the module {module}, which")
    if "gymnasium" in kind:
        id, options = kind["gymnasium"]["id"], dict(args)
        for prefix, package in PACKAGES.items():
            if id.startswith(prefix):
                import_named(package, f"{id} is of the package {package}, which")
        if "render_mode" not in options and "rgb_array" in render_modes(id):
            options["render_mode"] = "rgb_array"  # Nothing is drawn before somebody asks.
        return functools.partial(make_one, id, options)
    name, pickled = kind["callable"]["name"], kind["callable"]["pickle"]
    if pickled is not None:
        return functools.partial(call, unpickled(pickled), args)
    made, options = named_class(name), dict(args)
    can_draw = "rgb_array" in ((getattr(made, "metadata", None) or {}).get("render_modes") or ())
    if can_draw and "render_mode" in inspect.signature(made).parameters:
        options.setdefault("render_mode", "rgb_array")
    return functools.partial(call, made, options)


def call(callable, args):
    env = callable(**args)
    if not isinstance(env, gymnasium.Env):
        raise Unfit(f"expected a gymnasium.Env of the callable, got {type(env).__module__}.{type(env).__qualname__}")
    return env


def named_class(name):
    """The class that `module:Class` names. Others than environments are not called: who is told to has said nothing of them."""
    module, _, path = name.rpartition(":")
    if not module:
        expected = "the class of an environment as in python:my_package.envs:MyEnv, or the callable that made it"
        kept = "a run keeps that in its directory and its weight files do not; hand it over again: agon.evaluate(…, env=…)"
        raise Unfit(f"expected {expected} ({kept}), got only its name {name}")
    found = import_named(module, f"the class is of the module {module}, which")
    for part in path.split("."):
        if not hasattr(found, part):
            raise Unfit(f"expected a class {path} in {module}, found no {part}")
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, gymnasium.Env)):
        raise Unfit(f"expected a class of gymnasium.Env, got {found!r}")
    return found


def unpickled(text):
    """A callable of a text, if whoever started the program said that it is trusted."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest not in os.environ.get(TRUST, "").split(","):
        raise Unfit(
            "its environments are made by a callable that was pickled, and loading that runs whatever code is in it. "
            "If you trust whoever trained the run, say so with trust=True (agon.resume, agon.evaluate) or "
            f"{TRUST}={digest} in the environment of a command; or hand the callable over again with env=…"
        )
    version, _, body = text.partition(":")
    now = "{}.{}".format(*sys.version_info)
    if version != now:
        hint = "choose such an interpreter (env.python), or hand the callable over again with env=…"
        raise Unfit(f"expected Python {version}, which the callable was pickled by, got {sys.executable} of {now}: {hint}")
    return pickle.loads(zlib.decompress(base64.b64decode(body)))


def import_named(module, subject):
    if module.endswith(".py"):
        return import_file(module)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise
        hint = "install it there, or name another interpreter (env.python, AGON_PYTHON)"
        raise Unfit(f"{subject} {sys.executable} does not have: {hint}") from None


def import_file(path):
    name = os.path.splitext(os.path.basename(path))[0]
    if not os.path.isfile(path):
        raise Unfit(f"env.module names the file {path}, which does not exist")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def render_modes(id):
    """How the class of an environment can draw; nothing if that cannot be known before it is made."""
    try:
        entry = gymnasium.spec(id).entry_point
        maker = gymnasium.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
        return getattr(maker, "metadata", {}).get("render_modes") or ()
    except Exception:
        return ()


def make_one(id, options):
    try:
        return gymnasium.make(id, disable_env_checker=True, **options)
    except gymnasium.error.Error as error:
        # Its messages say what is wrong, and name the nearest ids.
        raise Unfit(str(error)) from None


def versions(env, module):
    """Versions of what decides the results, by the names that packages are imported by."""
    own = {type(env.unwrapped).__module__.split(".")[0], (module or "").removesuffix(".py").split(".")[0]}
    found = {}
    for name in sorted(own.union(ENGINES)):
        loaded = sys.modules.get(name)
        version = getattr(loaded, "__version__", None)
        if loaded is not None and not isinstance(version, str):
            try:
                version = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                version = None
        if isinstance(version, str):
            found[name] = version
    return found


def remarks(env):
    """The settings of an environment that decide which problem it is, where its id does not say."""
    spec = env.spec
    if spec is None:
        return []
    shown = {key: value for key, value in spec.kwargs.items() if key != "render_mode"}
    if spec.max_episode_steps is not None:
        shown["max_episode_steps"] = spec.max_episode_steps
    return [f"{spec.id} with {', '.join(f'{key} = {value!r}' for key, value in shown.items())}"] if shown else []
