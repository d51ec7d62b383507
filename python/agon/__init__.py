"""Agon: reinforcement learning environments and agents in Rust."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from agon import registration
from agon._agon import AgonError, __version__, algorithms, environments
from agon.policy import Policy, load
from agon.runs import Evaluation, Picture, Run, compare, evaluate, plot
from agon.single import AgonEnv, make
from agon.training import Progress, TrainedRun, resume, train
from agon.vector import AgonVectorEnv, make_vec

if TYPE_CHECKING:
    from pettingzoo import AECEnv

    from agon.pettingzoo import AgonParallelEnv

__all__ = [
    "AgonEnv",
    "AgonError",
    "AgonVectorEnv",
    "Evaluation",
    "Picture",
    "Policy",
    "Progress",
    "Run",
    "TrainedRun",
    "__version__",
    "aec_env",
    "algorithms",
    "compare",
    "environments",
    "evaluate",
    "load",
    "make",
    "make_vec",
    "parallel_env",
    "plot",
    "resume",
    "train",
]

# Environments of `gymnasium:` ids run in worker processes of this interpreter, unless another one was named.
os.environ.setdefault("AGON_PYTHON", sys.executable)

registration.register()

#: Modules that are imported when somebody asks for them: they need packages that may not be there.
_LATER = ("pettingzoo", "ray", "sb3", "torch")


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"agon.{name}")
    raise AttributeError(f"module 'agon' has no attribute {name!r}")


def parallel_env(id: str, **options: Any) -> AgonParallelEnv:
    """An arena of several agents with PettingZoo's parallel API; needs the package `pettingzoo`."""
    from agon import pettingzoo

    return pettingzoo.parallel_env(id, **options)


def aec_env(id: str, **options: Any) -> AECEnv[str, Any, Any]:
    """A board game, or an arena of several agents, with PettingZoo's turn-taking API; needs the package `pettingzoo`."""
    from agon import pettingzoo

    return pettingzoo.aec_env(id, **options)
