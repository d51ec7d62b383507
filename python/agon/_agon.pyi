"""The compiled half of the package."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__version__: str

class AgonError(RuntimeError):
    """What goes wrong in an environment or a run and is not a bad argument."""

def environments() -> list[str]:
    """The ids of all environments, in order of the alphabet."""

def environment(id: str) -> dict[str, Any]:
    """What is told of an environment.

    `id`, `summary`, `page`, `num_agents`, `is_board`, `max_episode_steps` and `reward_threshold`.
    """

class Vector:
    """Many environments of one kind, stepped together."""

    def __new__(
        cls,
        id: str,
        num_envs: int,
        *,
        num_threads: int,
        autoreset: str,
        arguments: dict[str, Any],
        wrappers: list[str | dict[str, Any]],
        max_episode_steps: int | None,
        copy: bool,
        statistics: bool,
    ) -> Vector: ...
    @property
    def started(self) -> bool:
        """Whether there was a reset."""

    def describe(self) -> dict[str, Any]:
        """What does not change: spaces, sizes and names."""

    def reset(
        self, seeds: Sequence[int | None], mask: Sequence[bool] | None = None
    ) -> tuple[Any, NDArray[np.int8] | None]:
        """Starts episodes in the environments of `mask`: observations and action masks."""

    def step(self, actions: Any) -> tuple[Any, ...]:
        """Observations, rewards, terminated, truncated, action masks, last observations and statistics of ended episodes."""

    def turn(self, env: int) -> int:
        """Whose turn it is in an environment, of its agents; 0 where all act at the same time."""

    def render(self, env: int) -> NDArray[np.uint8] | None:
        """A picture `[height, width, 3]` of an environment."""

    def render_text(self, env: int) -> str | None:
        """An environment as text."""

def algorithms() -> list[str]:
    """The names of all algorithms."""

def configure(algorithm: str, env: str, settings: dict[str, Any], *, preset: str | None = None) -> dict[str, Any]:
    """The complete configuration that `train` would begin a run with."""

def train(
    algorithm: str,
    env: str,
    settings: dict[str, Any],
    *,
    preset: str | None = None,
    seed: int | None = None,
    seeds: int = 1,
    total_timesteps: int | None = None,
    threads: int | None = None,
    out: str | os.PathLike[str],
    name: str | None = None,
    force: bool = False,
    watch: Callable[[dict[str, Any]], bool | None] | None = None,
    each_iteration: bool = False,
    engine: Any = None,
) -> dict[str, Any]:
    """Trains; the `path`, and how each of the `runs` ended."""

def resume(
    path: str | os.PathLike[str],
    *,
    total_timesteps: int | None = None,
    threads: int | None = None,
    pickle: str | None = None,
    watch: Callable[[dict[str, Any]], bool | None] | None = None,
    each_iteration: bool = False,
    engine: Any = None,
) -> dict[str, Any]:
    """Goes on with a run or an experiment; as `train`."""

def sweep(
    file: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    watch: Callable[[dict[str, Any]], bool | None] | None = None,
    each_iteration: bool = False,
    engine: Any = None,
) -> dict[str, Any] | None:
    """Runs a sweep file in a directory; its trials, or none if it was told to stop."""

def suite(
    file: str | os.PathLike[str],
    *,
    only: str | None = None,
    threads: int | None = None,
    watch: Callable[[dict[str, Any]], bool | None] | None = None,
    each_iteration: bool = False,
    engine: Any = None,
) -> list[dict[str, Any]]:
    """Trains and measures the entries of a suite file that are not done; how every entry stands."""

def main(arguments: list[str], connect: Callable[[str | None, str, int], Any]) -> int:
    """The program `agon`; `connect(address, spread, threads)` gives the engine that a command asks for. Its exit code."""

def fulfil(job: bytes) -> bytes:
    """Does a job that an engine has sent; how it ended, for the sender."""

class Worker:
    """Acts for a run whose learner is in another process."""

    def __new__(cls, assignment: bytes) -> Worker: ...
    @property
    def version(self) -> int | None:
        """The version of the policy that it acts with; none before the first."""

    def take_policy(self, policy: bytes) -> None:
        """Acts with a policy from now on."""

    def collect(self, shard: int, number: int) -> bytes:
        """A fragment of a shard; `number` says how many the shard was asked for before."""

def runs(path: str | os.PathLike[str]) -> list[Path]:
    """The directories of the runs in a directory."""

def config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The complete configuration of a run."""

def columns(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float64]]:
    """A table of numbers, such as `metrics.csv`, by column."""

def evaluate(
    path: str | os.PathLike[str],
    *,
    episodes: int,
    seed: int | None,
    stochastic: bool,
    best: bool,
    max_episode_steps: int | None,
    pickle: str | None = None,
) -> dict[str, Any]:
    """Evaluates a policy in fresh episodes."""

def plot(
    runs: list[tuple[str | None, str | os.PathLike[str]]],
    *,
    out: str | os.PathLike[str] | None,
    x: str,
    y: str,
    band: str,
    title: str,
    smooth: int,
    log_x: bool,
    log_y: bool,
) -> tuple[str, list[str]]:
    """Learning curves as SVG, and what is to be said of them."""

def compare(
    runs: list[tuple[str | None, str | os.PathLike[str]]],
    *,
    score: str,
    normalize: list[str],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Compares runs by their scores."""

def load(path: str | os.PathLike[str], *, best: bool = False, step: int | None = None) -> Policy:
    """The policy of a run or of a weight file."""

def tensors(path: str | os.PathLike[str]) -> dict[str, NDArray[np.float32]]:
    """The tensors of a weight file, of all networks."""

class Policy:
    """A trained policy."""

    def card(self) -> dict[str, Any]:
        """What it is: algorithm, settings, networks, environment, spaces, statistics, score."""

    def spaces(self) -> tuple[Any, Any]:
        """The environment's spaces of one row's observations and actions, described."""

    def portable(self) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
        """What it computes, as data, and the parameters that this names."""

    def export(
        self, out: str | os.PathLike[str], *, logits: bool, license: str | None, seed: int
    ) -> tuple[Path, int]:
        """Writes it as a file, and a recording beside it; gives the recording's path and steps."""

    def aiming_at(self, target_return: float) -> Policy:
        """The same policy, aiming at another return of an episode."""

    def episodes(self, seed: int | None = None) -> Episodes:
        """Episodes to act in; with a seed actions are drawn as in training."""

class Episodes:
    """Episodes that a policy acts in, and what it remembers of them."""

    def act(
        self,
        observations: NDArray[np.float32] | NDArray[np.uint8],
        rows: int,
        masks: NDArray[np.bool_] | None,
        starts: NDArray[np.bool_] | None,
        rewards: NDArray[np.float64] | None,
    ) -> NDArray[np.int64] | NDArray[np.float32]:
        """The actions for `N` packed rows of observations."""

    def reset(self) -> None:
        """Forgets all episodes."""
