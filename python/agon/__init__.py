"""Agon: reinforcement learning environments and agents in Rust."""

from agon._agon import AgonError, __version__, environments

__all__ = ["AgonError", "__version__", "environments"]
