"""Actions: rows of numbers as values of Gymnasium's spaces, and which of them are legal."""

import numpy as np
from gymnasium import spaces

from agon_worker import Unfit
from agon_worker.spaces import choices, names_of, packed_len
from agon_worker.spaces import space_of as space_of_observations

#: Values of an integer that are told apart as choices, and those of all integers of a box, at most.
MOST, MOST_IN_ALL = 1024, 1 << 16


def space_of(space):
    """An action space as JSON, in which integers are choices."""
    parts = list(leaves(space, "action space"))
    first = parts[0] if parts else None
    for part in parts:
        if is_of_numbers(part[1]) != is_of_numbers(first[1]):
            both = " and ".join(f"{path}: {leaf}" for path, leaf in (first, part))
            kinds = "choices (Discrete, MultiDiscrete, MultiBinary, a Box of integers) or all Box of float"
            raise Unfit(f"action space: expected parts that are all {kinds}, got {both}")
    return described(space, "action space")


def described(space, path):
    if isinstance(space, spaces.Dict):
        return {"Dict": {name: described(space[name], f"{path}.{name}") for name in names_of(space, path)}}
    if isinstance(space, spaces.Tuple):
        return {"Tuple": [described(part, f"{path}[{i}]") for i, part in enumerate(space.spaces)]}
    if not isinstance(space, spaces.Box) or is_of_numbers(space):
        return space_of_observations(space, path)
    counts = choices_of(space)
    is_bounded = all(space.bounded_below.flat) and all(space.bounded_above.flat)
    if not is_bounded or max(counts) > MOST or sum(counts) > MOST_IN_ALL:
        expected = f"integers with bounds and at most {MOST} values each ({MOST_IN_ALL} in all), which become choices"
        raise Unfit(f"{path}: expected a Box of float, or of {expected}, got {space}")
    return {"MultiDiscrete": {"nvec": counts}}


def leaves(space, path):
    """The parts of a space that have none themselves, in Agon's order, with their paths."""
    if isinstance(space, spaces.Dict):
        for name in names_of(space, path):
            yield from leaves(space[name], f"{path}.{name}")
    elif isinstance(space, spaces.Tuple):
        for i, part in enumerate(space.spaces):
            yield from leaves(part, f"{path}[{i}]")
    else:
        yield path, space


def is_of_numbers(space):
    return isinstance(space, spaces.Box) and space.dtype.kind == "f"


def choices_of(space):
    """Choices of each branch, in Agon's order."""
    if isinstance(space, (spaces.Dict, spaces.Tuple)):
        return [n for _, part in leaves(space, "") for n in choices_of(part)]
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.Box):
        return [int(high) - int(low) + 1 for low, high in zip(np.ravel(space.low), np.ravel(space.high))]
    return [int(n) for n in np.ravel(choices(space)[1])]


def reader(space):
    """Width and kind of an action's row, and what makes rows `[N, width]` a list of `N` values of the space."""
    kind = np.float32 if all(is_of_numbers(leaf) for _, leaf in leaves(space, "")) else np.uint32
    return packed_len(space), kind, decoder(space)


def decoder(space):
    if isinstance(space, spaces.Dict):
        return dict_decoder(space)
    if isinstance(space, spaces.Tuple):
        parts = parts_decoder(space.spaces)
        return lambda rows: list(zip(*parts(rows)))
    if isinstance(space, spaces.Discrete):
        first, kind = int(space.start), space.dtype.type
        return lambda rows: [kind(first + index) for index in rows[:, 0].tolist()]
    shape, kind = space.shape, space.dtype
    # What is handed over is a copy, which the environment may keep.
    if is_of_numbers(space):
        low, high = space.low, space.high
        if kind == np.float32:
            return lambda rows: values_of(rows.reshape(-1, *shape).copy())
        # Bounds of double precision were rounded to single precision.
        return lambda rows: values_of(np.clip(rows.reshape(-1, *shape).astype(kind), low, high))
    first = space.low.astype(np.int64) if isinstance(space, spaces.Box) else choices(space)[0]
    return lambda rows: values_of((rows.reshape(-1, *shape) + first).astype(kind))


def values_of(batch):
    """The arrays that a batch is made of; one of a shape without sides stays an array."""
    return [batch[row, ...] for row in range(len(batch))]


def dict_decoder(space):
    names = names_of(space)
    parts = parts_decoder([space[name] for name in names])
    order = [names.index(name) for name in space.spaces]  # the environment's own

    def decode(rows):
        columns = parts(rows)
        return [dict(zip(space.spaces, values)) for values in zip(*(columns[i] for i in order))]

    return decode


def parts_decoder(parts):
    """What makes rows of several parts a list of each part's values."""
    ends = np.cumsum([packed_len(part) for part in parts]).tolist()
    decoders = [(decoder(part), end - packed_len(part), end) for part, end in zip(parts, ends)]
    return lambda rows: [decode(rows[:, start:end]) for decode, start, end in decoders]


def write_mask(space, row, path, mask):
    """Checks an action mask and writes it into `row`: one after the other, or a part each as the space has them."""
    if isinstance(space, spaces.Dict) and isinstance(mask, dict):
        names = names_of(space)
        if mask.keys() != set(names):
            raise Unfit(f"{path}: expected a mask for each of {names}, got {sorted(map(str, mask))}")
        return write_masks([(space[name], f"{path}[{name!r}]", mask[name]) for name in names], row)
    if isinstance(mask, (tuple, list)) and any(np.ndim(part) for part in mask):
        counts = choices_of(space)
        parts = space.spaces if isinstance(space, spaces.Tuple) else [spaces.Discrete(n) for n in counts]
        if len(mask) != len(parts):
            raise Unfit(f"{path}: expected {len(parts)} masks, got {len(mask)}")
        return write_masks([(part, f"{path}[{i}]", mask[i]) for i, part in enumerate(parts)], row)
    array = np.asarray(mask)
    if array.shape != row.shape:
        raise Unfit(f"{path}: expected a mask of shape {row.shape}, got {shown(array)}")
    if array.dtype.kind not in "biu" or (array.dtype.kind != "b" and ((array != 0) & (array != 1)).any()):
        raise Unfit(f"{path}: expected zeros and ones of integers, or booleans, got {shown(array)}")
    row[...] = array


def write_masks(parts, row):
    start = 0
    for space, path, mask in parts:
        end = start + sum(choices_of(space))
        write_mask(space, row[start:end], path, mask)
        start = end


def shown(array):
    values = f" with values {np.unique(array)[:5].tolist()}" if array.dtype.kind in "iuf" else ""
    return f"one of shape {array.shape} and kind {array.dtype}{values}"
