"""Spaces: each is described as Agon writes it, and packed as Agon packs it."""

import functools
import operator

import numpy as np
from gymnasium import spaces

from agon_worker import Unfit

# What EnvPool says where it knows no bounds.
TINY, LARGEST = 1.1754943508222875e-38, 3.4028234663852886e38


def space_of(space, path):
    """A space as JSON."""
    if isinstance(space, spaces.Discrete):
        return {"Discrete": {"n": int(space.n), "start": int(space.start)}}
    if isinstance(space, spaces.Box):
        low, high = np.ravel(space.low).astype(float), np.ravel(space.high).astype(float)
        unknown = np.isclose(low, TINY, rtol=1e-6, atol=0.0) & (high >= LARGEST)
        low, high = np.where(unknown, -np.inf, low), np.where(unknown, np.inf, high)
        kind = "u8" if space.dtype == np.uint8 else "f32"
        shape = [int(side) for side in space.shape]
        return {"Box": {"low": bounds(low), "high": bounds(high), "shape": shape, "dtype": kind}}
    if isinstance(space, spaces.MultiDiscrete):
        return {"MultiDiscrete": {"nvec": [int(n) for n in np.ravel(space.nvec)]}}
    if isinstance(space, spaces.MultiBinary):
        return {"MultiBinary": {"n": packed_len(space)}}
    if isinstance(space, spaces.Dict):
        return {"Dict": {name: space_of(space[name], f"{path}.{name}") for name in names_of(space, path)}}
    if isinstance(space, spaces.Tuple):
        return {"Tuple": [space_of(part, f"{path}[{i}]") for i, part in enumerate(space.spaces)]}
    known = "Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple"
    raise Unfit(f"{path}: expected {known}, got {type(space).__name__}")


def names_of(space, path="space"):
    """The names of a Dict in Agon's order."""
    wrong = [name for name in space.spaces if not isinstance(name, str)]
    if wrong:
        raise Unfit(f"{path}: expected names that are texts, got {wrong[0]!r}")
    return sorted(space.spaces, key=str.encode)


def bounds(values):
    """Bounds as single-precision numbers, one if all are the same; what has none there is open."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if np.isnan(single).any():
        raise Unfit("expected bounds of a Box that are numbers, got NaN")
    shown = single[:1] if (single == single[:1]).all() else single
    return [float(bound) if np.isfinite(bound) else None for bound in shown]


def leaf_is_bytes(space):
    return isinstance(space, spaces.Box) and space.dtype == np.uint8


def packed_len(space):
    """Numbers in a packed row."""
    if isinstance(space, spaces.Dict):
        return sum(packed_len(part) for part in space.spaces.values())
    if isinstance(space, spaces.Tuple):
        return sum(packed_len(part) for part in space.spaces)
    return int(np.prod(space.shape))


def writer(space, row, path):
    """A function that checks a value and writes it into `row`."""
    if isinstance(space, spaces.Dict):
        names, writers, start = names_of(space), [], 0
        for name in names:
            end = start + packed_len(space[name])
            writers.append(writer(space[name], row[start:end], f"{path}.{name}"))
            start = end
        return functools.partial(write_dict, list(zip(names, writers)), path)
    if isinstance(space, spaces.Tuple):
        writers, start = [], 0
        for i, part in enumerate(space.spaces):
            end = start + packed_len(part)
            writers.append(writer(part, row[start:end], f"{path}[{i}]"))
            start = end
        return functools.partial(write_tuple, writers, path)
    if isinstance(space, spaces.Discrete):
        return functools.partial(write_index, row, int(space.start), int(space.n), path)
    if isinstance(space, spaces.Box):
        return functools.partial(write_box, row.reshape(space.shape), space.dtype, path)
    return functools.partial(write_choices, row.reshape(space.shape), *choices(space), path)


def choices(space):
    """First value and number of values of each factor of a MultiDiscrete or MultiBinary."""
    if hasattr(space, "nvec"):
        start = getattr(space, "start", None)
        return (np.zeros_like(space.nvec) if start is None else start), space.nvec
    return np.zeros(space.shape, np.int64), np.full(space.shape, 2)


def write_dict(writers, path, value):
    if not isinstance(value, dict) or value.keys() != {name for name, _ in writers}:
        found = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
        raise Unfit(f"{path}: expected a dict of {[name for name, _ in writers]}, got {found}")
    for name, write in writers:
        write(value[name])


def write_tuple(writers, path, value):
    if not isinstance(value, (tuple, list)) or len(value) != len(writers):
        found = len(value) if isinstance(value, (tuple, list)) else type(value).__name__
        raise Unfit(f"{path}: expected a tuple of {len(writers)}, got {found}")
    for write, part in zip(writers, value):
        write(part)


def write_index(row, start, n, path, value):
    try:
        index = operator.index(value)
    except TypeError:
        raise Unfit(f"{path}: expected an integer, got {value!r}") from None
    if not start <= index < start + n:
        raise Unfit(f"{path}: expected an integer from {start} to {start + n - 1}, got {index}")
    row[0] = index


def write_box(row, kind, path, value):
    array = as_array(row.shape, path, value)
    if array.dtype != kind:
        check_kind(array, row.dtype, kind, path)
    row[...] = array


def write_choices(row, start, n, path, value):
    array = as_array(row.shape, path, value)
    if array.dtype.kind not in "iub" or (array < start).any() or (array >= start + n).any():
        raise Unfit(f"{path}: expected integers from {start.tolist()}, {n.tolist()} of them each, got {array.tolist()}")
    row[...] = array - start


def as_array(shape, path, value):
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.shape != shape:
        raise Unfit(f"{path}: expected shape {shape}, got {array.shape}")
    return array


def check_kind(array, kind, said, path):
    """That numbers of another kind than the space's can be written as such."""
    fits = np.can_cast(array.dtype, kind, "same_kind")
    if fits and kind == np.uint8:
        fits = array.size == 0 or (array.min() >= 0 and array.max() <= 255)
    if not fits:
        raise Unfit(f"{path}: expected numbers of kind {said}, got {array.dtype}")
