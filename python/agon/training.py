"""Training from Python: runs that begin and go on, with callbacks and progress."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agon import _agon
from agon.callables import Environment, handed_over
from agon.columns import Columns
from agon.progress import Display, display
from agon.runs import PathLike, Run, callable_for

log = logging.getLogger("agon")


@dataclass(frozen=True)
class Progress:
    """Where a run stands after an iteration."""

    run: Path
    seed: int
    env_steps: int
    total_timesteps: int
    updates: int
    #: Of the last 100 episodes; NaN before one has ended.
    mean_return: float
    seconds: float
    steps_per_second: float
    #: The learner's metrics, by CleanRL's names.
    metrics: dict[str, float] = field(repr=False)
    #: ``env_steps``, ``returns`` and ``lengths`` of the episodes that ended since the last call.
    episodes: Columns = field(repr=False)


#: Called after every iteration of every run, on the thread that called; what returns ``False`` stops all runs.
Callback = Callable[[Progress], "bool | None"]


class TrainedRun(Run):
    """A run that this process has trained, and how it ended."""

    def __init__(self, ended: dict[str, Any]) -> None:
        super().__init__(ended["path"])
        #: For each seed: ``finished``, ``env_steps``, ``mean_return``, ``seconds``, and ``failure`` if it failed by itself.
        self.outcomes: dict[int, dict[str, Any]] = {run["seed"]: run for run in ended["runs"]}

    @property
    def finished(self) -> bool:
        """Whether every seed has reached its last step."""
        return all(run["finished"] for run in self.outcomes.values())


def train(
    algorithm: str,
    env: Environment,
    *,
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
    seed: int | None = None,
    seeds: int = 1,
    total_timesteps: int | None = None,
    threads: int | None = None,
    out: PathLike = "results",
    name: str | None = None,
    force: bool = False,
    callback: Callback | None = None,
    progress: bool | None = None,
) -> TrainedRun:
    """Trains an algorithm in an environment: one run, or several seeds side by side with one curve.

    ``settings`` are laid over those of the preset that suits, or of ``preset`` (``"none"`` for the algorithm's defaults), under
    the names of ``config.toml``: ``{"agent.learning_rate": 3e-4, "network": {"encoder": {"kind": "mlp", "hidden": [64]}}}``;
    ``None`` switches off what can be switched off.

    ``env`` is an id, or what makes a :class:`gymnasium.Env` at each call, with the keyword arguments of the setting
    ``env.args``: a class, a function, ``lambda: MyEnv()``. Its environments live in worker processes. A class that can be
    imported is kept by its name, everything else pickled in ``config.toml``: another process that goes on with such a run
    needs ``trust=True`` or the callable again, see :func:`resume`.

    The run is kept in ``out/name``; without a name the next free one is taken. ``force`` removes a run or an experiment of that
    name first, with everything in its directory, once nothing can be refused any more of the new one. A seed that is given
    gives the same bits as ``agon train`` on the command line, for any number of threads.

    ``progress`` shows a bar on a terminal, and bar and curve in a notebook; by default where there is one.

    Ctrl-C stops at a checkpoint and raises :class:`KeyboardInterrupt`; :func:`resume` goes on from there. An exception of the
    callback does the same.

    Raises
        TypeError: if ``env`` is neither an id nor a callable.
        ValueError: for settings that do not fit, naming the key, what was expected and what was found.
        AgonError: if the run fails, or its directory is taken.
    """
    id, pickle = handed_over(env)
    settings = plain(settings or {})
    named = {"algorithm": algorithm, "env.id": id, "seed": seed, "total_timesteps": total_timesteps}
    _refuse_conflicts(settings, named | {"runtime.threads": threads})
    if pickle is not None:
        settings["env.pickle"] = pickle
    with _Watching(callback, progress) as watching:
        ended = _agon.train(
            algorithm,
            id,
            settings,
            preset=preset,
            seed=seed,
            seeds=seeds,
            total_timesteps=total_timesteps,
            threads=threads,
            out=out,
            name=name,
            force=force,
            **watching.arguments(),
        )
    return _ended(ended)


def resume(
    run: PathLike | Run,
    *,
    total_timesteps: int | None = None,
    threads: int | None = None,
    env: Callable[..., Any] | None = None,
    trust: bool = False,
    callback: Callback | None = None,
    progress: bool | None = None,
) -> TrainedRun:
    """Goes on with a run or an experiment from its newest checkpoint, with the bits of a run that was never interrupted.

    ``total_timesteps`` gives it another length. What has finished is left alone.

    A run whose environments a pickled callable makes needs one of two things outside of the process that began it:
    ``trust=True`` says that the callable which the run has kept may be loaded, which runs whatever code is in it; ``env`` is
    the callable to go on with, and is kept instead. Its environments begin fresh episodes.
    """
    path = run.path if isinstance(run, Run) else Path(run)
    pickle = callable_for(path, env, trust)
    with _Watching(callback, progress) as watching:
        length = {"total_timesteps": total_timesteps, "threads": threads}
        ended = _agon.resume(path, **length, pickle=pickle, **watching.arguments())
    return _ended(ended)


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which a wrapper is a table, and ``None`` is the ``"none"`` of ``config.toml``: it switches off what a preset
    has switched on."""
    return {key: _plain_value(key, value) for key, value in settings.items()}


def _plain_value(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    if key.rpartition(".")[2] == "wrappers" and isinstance(value, (list, tuple)):
        # A wrapper without settings may be its kind alone, as in `agon.make_vec`.
        return [{"kind": wrapper} if isinstance(wrapper, str) else wrapper for wrapper in value]
    return "none" if value is None else value


def _ended(ended: dict[str, Any]) -> TrainedRun:
    failures = [f"seed {run['seed']}: {run['failure']}" for run in ended["runs"] if run["failure"]]
    if failures:
        path = os.fspath(ended["path"])
        raise _agon.AgonError(f"{'; '.join(failures)} (agon.resume({path!r}) tries again from the last checkpoint)")
    return TrainedRun(ended)


def _wish(answer: Any) -> bool | None:
    """What a callback wants: ``False`` stops. A comparison of NumPy's numbers is a truth value too."""
    if answer is None or isinstance(answer, bool):
        return answer
    if isinstance(answer, np.bool_):
        return bool(answer)
    raise TypeError(f"a callback answers True, None or, to stop, False; got {answer!r}")


def _refuse_conflicts(settings: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Refuses settings that say something else than the arguments of the same meaning."""
    for key, argument in arguments.items():
        found: Any = settings.get(key)
        if found is None and "." in key:
            table, _, last = key.partition(".")
            within = settings.get(table)
            found = within.get(last) if isinstance(within, Mapping) else None
        if found is not None and argument is not None and found != argument:
            raise ValueError(f"the setting {key} must be left out or be the argument's {argument!r}, got {found!r}")


class _Watching:
    """Hands what runs tell to a callback and a display."""

    def __init__(self, callback: Callback | None, progress: bool | None) -> None:
        self._callback = callback
        self._display: Display | None = display(progress)

    def arguments(self) -> dict[str, Any]:
        watched = self._callback is not None or self._display is not None
        return {"watch": self._tell if watched else None, "each_iteration": self._callback is not None}

    def _tell(self, event: dict[str, Any]) -> bool | None:
        if "note" in event:
            log.info("%s: %s", event["run"], event["note"])
            return None
        progress = Progress(**{**event, "run": Path(event["run"]), "episodes": Columns(event["episodes"])})
        if self._display is not None:
            self._display.show(progress)
        return None if self._callback is None else _wish(self._callback(progress))

    def __enter__(self) -> _Watching:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._display is not None:
            self._display.close()
        if isinstance(error, KeyboardInterrupt) and hasattr(error, "add_note"):
            error.add_note("the run has stopped at a checkpoint: agon.resume(path) goes on from there")
