"""Runs over a cluster, through Ray: seeds of an experiment, and trials of Ray Tune, each with the bits of one machine.

Ray decides where a run goes, begins it again where a node has died, and stores what Tune asks for. A run itself is a directory
with exact checkpoints, so beginning again means going on.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray import tune

import agon
from agon import _agon
from agon.callables import Environment, handed_over
from agon.runs import PathLike, Run
from agon.training import plain

#: Keys of a trial's configuration that are no settings of a run.
_OF_TRIAL = ("algorithm", "env", "preset", "seed", "total_timesteps", "threads", "steps_per_iteration", "settings")


def train(
    algorithm: str,
    env: Environment,
    *,
    seeds: int,
    seed: int = 1,
    name: str,
    out: PathLike = "results",
    address: str | None = None,
    num_cpus: float = 1,
    max_retries: int = -1,
    **options: Any,
) -> Run:
    """Trains several seeds, each wherever the cluster has ``num_cpus`` cores for it; gives the experiment.

    ``out`` must be a directory that all nodes share. ``options`` are those of :func:`agon.train`. A run whose node dies goes on
    elsewhere from its last checkpoint, up to ``max_retries`` times (-1 for any number), and ends with the same bits; so does
    everything if this call is made again. ``address`` is that of a cluster that runs; without one Ray starts or finds its own.

    Raises
        ValueError: for settings that do not fit.
        AgonError: if a run fails by itself; the others have ended by then.
    """
    if not ray.is_initialized():
        ray.init(address=address)
    # Unfinished runs are kept for whoever goes on.
    task = ray.remote(num_cpus=num_cpus, max_retries=max_retries)(_go_on)
    path = Path(out).absolute() / name
    options = {"threads": max(1, int(num_cpus)), **options, "progress": False}
    started = [task.remote(path / f"seed_{one}", algorithm, env, {**options, "seed": one}) for one in range(seed, seed + seeds)]
    failures = []
    for one in started:
        try:
            ray.get(one)
        except ray.exceptions.RayTaskError as error:
            failures.append(error.cause if isinstance(error.cause, Exception) else error)
    if failures:
        raise failures[0]
    return Run(path)


def _go_on(path: Path, algorithm: str, env: Environment, options: dict[str, Any]) -> None:
    """Brings one run to its end, from wherever it stands."""
    if (path / "config.toml").exists():
        again = env if handed_over(env)[1] else None
        agon.resume(path, threads=options["threads"], env=again, progress=False)
    else:
        agon.train(algorithm, env, out=path.parent, name=path.name, **options)


class Trainable(tune.Trainable):
    """A run as a trial of Ray Tune, with checkpoints that are exact.

    The trial's configuration has ``algorithm`` and ``env``, perhaps ``preset``, ``seed``, ``total_timesteps``, ``threads`` and
    ``settings``; every other key is a setting too: ``{"agent.learning_rate": tune.loguniform(1e-4, 1e-2)}``. An iteration is
    ``steps_per_iteration`` environment steps (a twentieth of the run by default), up to the end of the learner's iteration.

    Results have ``env_steps``, ``updates``, ``mean_return`` (NaN before an episode has ended) and ``done``.

    A checkpoint of the same settings goes on with the same bits. One of other settings, as population-based training hands over
    when it explores, begins a new run from its weights: optimizer and replay begin anew.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Called by Ray."""
        self._folder = tempfile.TemporaryDirectory(prefix="agon-trial-")
        self._path = Path(self._folder.name) / "run"
        self._init_from: Path | None = None
        self._last: dict[str, Any] = {}

    def step(self) -> dict[str, Any]:
        """Called by Ray: trains for an iteration."""
        total = self._total()
        every = self.config.get("steps_per_iteration") or max(1, total // 20)
        goal = self._last.get("env_steps", 0) + every

        def until_goal(progress: agon.Progress) -> bool:
            self._last = {
                "env_steps": progress.env_steps,
                "updates": progress.updates,
                "mean_return": progress.mean_return,
            }
            return progress.env_steps < goal

        if (self._path / "config.toml").exists():
            agon.resume(self._path, threads=self._threads(), callback=until_goal, progress=False)
        else:
            self._begin(until_goal)
        return {**self._last, "done": self._last["env_steps"] >= total}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Called by Ray: the run's directory is the checkpoint."""
        shutil.copytree(self._path, Path(checkpoint_dir) / "run")

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Called by Ray."""
        saved = Path(checkpoint_dir) / "run"
        shutil.rmtree(self._path, ignore_errors=True)
        self._init_from, self._last = None, {}
        if _settings_of(agon.Run(saved).config) == self._wanted():
            shutil.copytree(saved, self._path)
            self._last = {"env_steps": agon.load(saved).card["env_steps"]}
        else:
            weights = Path(self._folder.name) / "weights.safetensors"
            shutil.copy(saved / "model.safetensors", weights)
            self._init_from = weights

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called by Ray, to use an actor for another trial."""
        self.cleanup()
        self.config = new_config
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Called by Ray."""
        self._folder.cleanup()

    def _begin(self, callback: agon.training.Callback) -> None:
        settings = self._settings()
        if self._init_from is not None:
            settings["init_from"] = str(self._init_from)
        options = {"preset": self.config.get("preset"), "threads": self._threads(), "progress": False}
        out, name = self._path.parent, self._path.name
        agon.train(self.config["algorithm"], self.config["env"], settings=settings, out=out, name=name, callback=callback, **options)

    def _settings(self) -> dict[str, Any]:
        own = {key: self.config[key] for key in ("seed", "total_timesteps") if self.config.get(key) is not None}
        others = {key: value for key, value in self.config.items() if key not in _OF_TRIAL}
        return {**self.config.get("settings", {}), **others, **own}

    def _wanted(self) -> dict[str, Any]:
        """What decides the trial's results."""
        algorithm, env, preset = self.config["algorithm"], self.config["env"], self.config.get("preset")
        return _settings_of(_agon.configure(algorithm, env, plain(self._settings()), preset=preset))

    def _total(self) -> int:
        return self._wanted()["total_timesteps"]

    def _threads(self) -> int:
        return self.config.get("threads") or 1


def _settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration decides results."""
    deciding = {key: value for key, value in config.items() if key not in ("made_by", "init_from")}
    apart = ("threads", "checkpoint_every", "log_every", "histograms", "instruction_set")
    return {**deciding, "runtime": {key: value for key, value in deciding["runtime"].items() if key not in apart}}
