"""Spaces of the compiled half as Gymnasium's."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces


def space_of(described: tuple[Any, ...]) -> spaces.Space[Any]:
    """The space that a description stands for: a tuple of its kind and what the kind's class is made of."""
    kind, *parts = described
    if kind == "Discrete":
        n, start = parts
        return spaces.Discrete(n, start=start)
    if kind == "Box":
        low, high = parts
        return spaces.Box(low, high, shape=low.shape, dtype=low.dtype.type)
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(parts[0])
    if kind == "MultiBinary":
        return spaces.MultiBinary(parts[0])
    if kind == "Dict":
        return spaces.Dict({name: space_of(entry) for name, entry in parts[0]})
    return spaces.Tuple([space_of(entry) for entry in parts[0]])


def row(space: spaces.Space[Any], batch: Any, index: int) -> Any:
    """One row of a batch of a space's values, in the types that a single environment gives."""
    if isinstance(space, spaces.Discrete):
        return int(batch[index])
    if isinstance(space, spaces.Dict):
        return {name: row(entry, batch[name], index) for name, entry in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(row(entry, part, index) for entry, part in zip(space.spaces, batch, strict=True))
    return batch[index]
