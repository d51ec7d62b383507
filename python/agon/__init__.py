"""Agon: reinforcement learning environments and agents in Rust."""

from agon import registration
from agon._agon import AgonError, __version__, environments
from agon.single import AgonEnv, make
from agon.vector import AgonVectorEnv, make_vec

registration.register()

__all__ = ["AgonEnv", "AgonError", "AgonVectorEnv", "__version__", "environments", "make", "make_vec"]
