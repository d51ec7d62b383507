"""Runs on disk: what they measured, their policies, evaluations, curves and comparisons."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agon import _agon
from agon.callables import pickled, share_modules
from agon.callables import trust as trust_callable
from agon.columns import Columns
from agon.policy import Policy, load

PathLike = str | os.PathLike[str]


class Run:
    """A run in a directory, or an experiment: several seeds of one configuration.

    Its files say everything; an object of this class only reads them. ``Run(path)`` opens what any process has trained.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self._seeds = [Path(run) for run in _agon.runs(self.path)]

    @property
    def seeds(self) -> dict[int, Run]:
        """The run of each seed; of a single run itself."""
        if self._is_single:
            return {self.config["seed"]: self}
        runs = [Run(path) for path in self._seeds]
        return {run.config["seed"]: run for run in runs}

    @property
    def config(self) -> dict[str, Any]:
        """The complete configuration; of an experiment that of its first seed."""
        return _agon.config(self._seeds[0])

    @property
    def metrics(self) -> Columns:
        """``metrics.csv``: a row an iteration, or fewer. Of an experiment with a column ``seed``."""
        return self._columns("metrics.csv")

    @property
    def episodes(self) -> Columns:
        """``episodes.csv``: a row for each training episode."""
        return self._columns("episodes.csv")

    @property
    def timing(self) -> Columns:
        """``timing.csv``: seconds and speeds."""
        return self._columns("timing.csv")

    @property
    def evaluations(self) -> Columns:
        """``evaluations.csv``: a row for each evaluation in training; empty if there was none."""
        return self._columns("evaluations.csv")

    def policy(self, *, best: bool = False, step: int | None = None) -> Policy:
        """The trained policy: the newest, the best, or that after ``step`` environment steps."""
        self._expect_single("policy")
        return load(self.path, best=best, step=step)

    def evaluate(self, episodes: int = 100, **options: Any) -> Evaluation:
        """Evaluates the policy, see :func:`evaluate`."""
        self._expect_single("policy")
        return evaluate(self.path, episodes, **options)

    def plot(self, out: PathLike | None = None, **options: Any) -> Picture:
        """Draws the learning curve, see :func:`plot`."""
        options.setdefault("title", self.config["env"]["id"])
        return plot(self, out, **options)

    def _expect_single(self, what: str) -> None:
        if not self._is_single:
            seeds = ", ".join(str(seed) for seed in self.seeds)
            raise ValueError(f"an experiment has a {what} a seed: choose one of `seeds` ({seeds})")

    @property
    def _is_single(self) -> bool:
        return self._seeds == [self.path]

    def _columns(self, name: str) -> Columns:
        def read(path: Path) -> Columns:
            file = path / name
            return Columns(_agon.columns(file)) if file.exists() else Columns()

        if self._is_single:
            return read(self.path)
        return Columns.joined({seed: read(run.path) for seed, run in self.seeds.items()}, by="seed")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def _repr_html_(self) -> str | None:
        try:
            return f"<code>{self!r}</code><br>{self.plot()._repr_html_()}"
        except _agon.AgonError:
            return None


@dataclass(frozen=True)
class Evaluation:
    """What a policy reached in fresh episodes."""

    mean_return: float
    std_return: float
    min_return: float
    max_return: float
    mean_length: float
    episodes: int
    #: Episodes that were cut because nothing else ended them.
    cut: int
    #: Environment steps that the policy was trained for.
    env_steps: int
    #: The return of every episode.
    returns: np.ndarray = field(repr=False, compare=False)
    #: The mean return of each agent; empty where there is one.
    agents: list[float] = field(default_factory=list, repr=False)
    #: The mean return of each team; empty where there is one agent.
    teams: dict[str, float] = field(default_factory=dict, repr=False)
    #: Means of the environment's own metrics.
    env_metrics: dict[str, float] = field(default_factory=dict, repr=False)


def evaluate(
    run: PathLike | Run,
    episodes: int = 100,
    *,
    seed: int | None = None,
    stochastic: bool = False,
    best: bool = False,
    max_episode_steps: int | None = None,
    env: Callable[..., Any] | None = None,
    trust: bool = False,
) -> Evaluation:
    """Evaluates the policy of a run or of a weight file in episodes that training never saw.

    The same call gives the same returns. ``stochastic`` acts as in training instead of with the best actions. ``env`` and
    ``trust`` are for environments that a pickled callable makes, see :func:`agon.resume`; a weight file alone has none.
    """
    path = _path(run)
    if path.is_dir():
        Run(path)._expect_single("policy")
    pickle = callable_for(path, env, trust)
    result = _agon.evaluate(
        path,
        episodes=episodes,
        seed=seed,
        stochastic=stochastic,
        best=best,
        max_episode_steps=max_episode_steps,
        pickle=pickle,
    )
    return Evaluation(**{**result, "returns": np.array(result["returns"])})


@dataclass(frozen=True)
class Picture:
    """A drawn plot. A notebook shows it."""

    svg: str = field(repr=False)
    #: What is to be said of it: what bands are, and what is not shown.
    notes: list[str]

    def _repr_html_(self) -> str:
        return self.svg

    def _repr_svg_(self) -> str:
        return self.svg


#: Runs by their labels, or runs that name themselves.
Runs = PathLike | Run | Iterable[PathLike | Run] | Mapping[str, PathLike | Run | Iterable[PathLike | Run]]


def plot(
    runs: Runs,
    out: PathLike | None = None,
    *,
    y: str = "charts/episodic_return",
    x: str = "steps",
    band: str = "ci",
    title: str = "",
    smooth: int = 1,
    log_x: bool = False,
    log_y: bool = False,
) -> Picture:
    """Draws learning curves, a curve for each label or directory.

    ``x`` is ``"steps"``, ``"seconds"`` or ``"updates"``; ``y`` a column of the runs' files; ``band`` what surrounds the mean
    over seeds: ``"ci"`` (95 %, bootstrapped), ``"se"``, ``"std"``, ``"minmax"``, ``"seeds"`` or ``"none"``. ``out`` ends in
    ``.svg`` or ``.png``.
    """
    svg, notes = _agon.plot(
        _labelled(runs), out=out, x=x, y=y, band=band, title=title, smooth=smooth, log_x=log_x, log_y=log_y
    )
    return Picture(svg, notes)


def compare(
    runs: Runs,
    *,
    score: str = "auto",
    normalize: str | Iterable[str] = (),
    resamples: int = 50_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compares algorithms over their runs: interquartile mean, mean, median, optimality gap and probability of improvement,
    each with a 95 % bootstrap interval.

    ``score`` is ``"evaluation"``, ``"training"`` or the name of a metric; ``normalize`` is ``"LOW..HIGH"`` or
    ``"ENV=LOW..HIGH"``, each end a number, ``random`` or ``threshold``.
    """
    normalize = [normalize] if isinstance(normalize, str) else list(normalize)
    return _agon.compare(_labelled(runs), score=score, normalize=normalize, resamples=resamples, seed=seed)


def callable_for(run: Path, env: Callable[..., Any] | None, trust: bool) -> str | None:
    """The text of the callable that a run's environments are made by from now on; none for what it has kept, which is loaded
    if it is trusted."""
    share_modules()
    if env is not None:
        return pickled(env)
    if trust and run.is_dir():
        for path in _agon.runs(run):
            kept = _agon.config(path)["env"].get("pickle")
            if kept is not None:
                trust_callable(kept)
    return None


def _path(run: PathLike | Run) -> Path:
    return run.path if isinstance(run, Run) else Path(run)


def _several(runs: Any) -> list[Path]:
    single = isinstance(runs, (str, os.PathLike, Run))
    return [_path(run) for run in ([runs] if single else runs)]


def _labelled(runs: Runs) -> list[tuple[str | None, Path]]:
    if isinstance(runs, Mapping):
        return [(label, path) for label, named in runs.items() for path in _several(named)]
    return [(None, path) for path in _several(runs)]
