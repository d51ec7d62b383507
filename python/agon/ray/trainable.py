"""Runs as trials of Ray Tune."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search.sample import Domain

import agon
from agon import _agon
from agon.runs import PathLike
from agon.training import plain

#: Keys of a trial's configuration that are no settings of a run.
_OF_TRIAL = (
    "algorithm",
    "env",
    "preset",
    "seed",
    "total_timesteps",
    "threads",
    "steps_per_iteration",
    "settings",
)
#: The file of a checkpoint that says how many environment steps there were before its run.
_BEFORE = "env_steps_before"


class Trainable(tune.Trainable):
    """A run as a trial of Ray Tune, with checkpoints that are exact.

    The trial's configuration has ``algorithm`` and ``env``, perhaps ``preset``, ``seed``, ``total_timesteps``, ``threads`` and
    ``settings``; every other key is a setting too: ``{"agent.learning_rate": tune.loguniform(1e-4, 1e-2)}``. An iteration is
    ``steps_per_iteration`` environment steps (a twentieth of the run by default), up to the end of the learner's iteration.

    Results have ``env_steps``, ``updates``, ``mean_return`` (NaN before an episode has ended) and ``done``.

    A checkpoint of the same settings goes on with the same bits. One of other settings, as population-based training hands
    over when it explores, begins a new run from its weights, with the environment steps that are left: optimizer and replay
    begin anew, and ``env_steps`` counts those before it.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Called by Ray."""
        self._folder = tempfile.TemporaryDirectory(prefix="agon-trial-")
        self._path = Path(self._folder.name) / "run"
        self._init_from: Path | None = None
        self._last: dict[str, Any] = {}
        #: Environment steps of the runs whose weights this one began with.
        self._before = 0

    def step(self) -> dict[str, Any]:
        """Called by Ray: trains for an iteration."""
        total = self._total()
        every = self.config.get("steps_per_iteration") or max(1, total // 20)
        goal = self._last.get("env_steps", 0) + every

        def until_goal(progress: agon.Progress) -> bool:
            env_steps = self._before + progress.env_steps
            self._last = {
                "env_steps": env_steps,
                "updates": progress.updates,
                "mean_return": progress.mean_return,
            }
            return env_steps < goal

        if (self._path / "config.toml").exists():
            agon.resume(self._path, threads=self._threads(), callback=until_goal, progress=False)
        else:
            self._begin(until_goal)
        return {**self._last, "done": self._last["env_steps"] >= total}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Called by Ray: the run's directory is the checkpoint, and how many steps there were before it."""
        shutil.copytree(self._path, Path(checkpoint_dir) / "run")
        (Path(checkpoint_dir) / _BEFORE).write_text(str(self._before))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Called by Ray."""
        saved = Path(checkpoint_dir) / "run"
        before = int((Path(checkpoint_dir) / _BEFORE).read_text())
        env_steps = before + agon.load(saved).card["env_steps"]
        shutil.rmtree(self._path, ignore_errors=True)
        self._init_from, self._before, self._last = None, before, {"env_steps": env_steps}
        if _settings_of(agon.Run(saved).config) == self._wanted():
            shutil.copytree(saved, self._path)
            return
        weights = Path(self._folder.name) / "weights.safetensors"
        shutil.copy(saved / "model.safetensors", weights)
        # A trial that is at its end has nothing left: it takes one more iteration.
        self._init_from, self._before = weights, min(env_steps, self._total() - 1)

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
        settings = self._run_settings()
        if self._init_from is not None:
            settings["init_from"] = str(self._init_from)
        options = {"preset": self.config.get("preset"), "threads": self._threads(), "progress": False}
        out, name = self._path.parent, self._path.name
        agon.train(
            self.config["algorithm"],
            self.config["env"],
            settings=settings,
            out=out,
            name=name,
            callback=callback,
            **options,
        )

    def _settings(self) -> dict[str, Any]:
        own = {
            key: self.config[key] for key in ("seed", "total_timesteps") if self.config.get(key) is not None
        }
        others = {key: value for key, value in self.config.items() if key not in _OF_TRIAL}
        return {**self.config.get("settings", {}), **others, **own}

    def _config(self, settings: dict[str, Any]) -> dict[str, Any]:
        return _agon.configure(
            self.config["algorithm"], self.config["env"], plain(settings), preset=self.config.get("preset")
        )

    def _wanted(self) -> dict[str, Any]:
        """What decides the results of the run under way."""
        return _settings_of(self._config(self._run_settings()))

    def _run_settings(self) -> dict[str, Any]:
        return {**self._settings(), "total_timesteps": self._total() - self._before}

    def _total(self) -> int:
        """Environment steps of the trial."""
        return self._config(self._settings())["total_timesteps"]

    def _threads(self) -> int:
        return self.config.get("threads") or 1


def _settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration decides results."""
    deciding = {key: value for key, value in config.items() if key not in ("made_by", "init_from")}
    apart = ("threads", "checkpoint_every", "log_every", "histograms", "instruction_set")
    return {
        **deciding,
        "runtime": {key: value for key, value in deciding["runtime"].items() if key not in apart},
    }


def restore(path: PathLike, param_space: Mapping[str, Any] | None = None, **options: Any) -> tune.Tuner:
    """As :meth:`ray.tune.Tuner.restore`, for trials of :class:`Trainable` in a local or shared directory.

    Ray compares the names of ``param_space`` alone and ignores other values: the trials would go on with those that they began
    with. Here these are compared too.

    Raises
        ValueError: naming the trial, the key, the value that it began with and the one that is given now.
    """
    for file in sorted(Path(path).glob("*/params.json")) if param_space is not None else ():
        _check_values(file.parent.name, "", json.loads(file.read_text()), param_space)
    return tune.Tuner.restore(
        str(path), Trainable, param_space=None if param_space is None else dict(param_space), **options
    )


def _check_values(trial: str, prefix: str, began_with: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses another value than a trial began with, at any depth."""
    for key, value in now.items():
        name, found = f"{prefix}{key}", began_with.get(key)
        if isinstance(value, Mapping) and isinstance(found, Mapping) and "grid_search" not in value:
            _check_values(trial, f"{name}.", found, value)
            continue
        if isinstance(value, Domain):
            fits = value.is_valid(found)
        elif isinstance(value, Mapping) and "grid_search" in value:
            fits = found in value["grid_search"]
        else:
            fits = found == value
        if not fits:
            raise ValueError(
                f"{trial}: expected {name} = {found!r}, which the trial began with, got {value!r}"
            )
