"""Runs over a cluster, through Ray: seeds, sweeps and suites with the bits of one machine, workers of one asynchronous run, and
trials of Ray Tune.

Ray decides where a run goes, begins it again where a node has died, and stores what Tune asks for. A run itself is a directory
with exact checkpoints that all nodes share, so beginning again means going on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agon.ray.runs import resume, suite, sweep, train

if TYPE_CHECKING:
    from agon.ray.trainable import Trainable, restore

__all__ = ["Trainable", "restore", "resume", "suite", "sweep", "train"]


def __getattr__(name: str) -> Any:
    # Ray Tune needs more packages than Ray itself.
    if name in ("Trainable", "restore"):
        from agon.ray import trainable

        return getattr(trainable, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
