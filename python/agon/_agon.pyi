"""The compiled half of the package."""

from collections.abc import Sequence
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

    def render(self, env: int) -> NDArray[np.uint8] | None:
        """A picture `[height, width, 3]` of an environment."""

    def render_text(self, env: int) -> str | None:
        """An environment as text."""
