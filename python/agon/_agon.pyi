"""The compiled half of the package."""

from typing import Any

__version__: str

class AgonError(RuntimeError):
    """What goes wrong in an environment or a run and is not a bad argument."""

def environments() -> list[str]:
    """The ids of all environments, in order of the alphabet."""

def environment(id: str) -> dict[str, Any]:
    """What is told of an environment: `id`, `summary`, `page`, `max_episode_steps` and `reward_threshold`."""
