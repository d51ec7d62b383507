"""What Gymnasium's toy-text worlds tell beside their observations, for the environments that repeat them.

`prob` is the probability of the transition that was taken, told where all outcomes of a move are equally likely (the
registered arguments); Taxi's `action_mask` says which actions change something.

Other than `SyncVectorEnv`, `prob` is always an array of float64 in a step: there it becomes one of integers, with a third
rounded to zero, whenever the first environment that tells something has just been reset.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_THIRD = 1.0 / 3.0


class Told:
    """What a world tells, given the probability of a step's transition and masks by state (`[states, actions]`)."""

    def __init__(self, prob: float | None, masks: NDArray[np.int8] | None, reset_prob: float) -> None:
        self._prob = prob
        self._masks = masks
        self._reset_prob = reset_prob

    def reset(self, states: NDArray[np.int64], of_row: Mask) -> dict[str, Any]:
        """Of a reset of the environments of `of_row`."""
        prob = np.full(len(states), self._reset_prob) * of_row
        return self._told(prob.astype(type(self._reset_prob)), states, of_row)

    def step(self, states: NDArray[np.int64], fresh: Mask | None) -> dict[str, Any]:
        """Of a step, in which the environments of `fresh` were reset."""
        prob = np.full(len(states), 0.0 if self._prob is None else self._prob)
        if fresh is not None:
            prob[fresh] = self._reset_prob
        return self._told(prob, states, np.ones(len(states), dtype=np.bool_))

    def final(self, states: NDArray[np.int64], rows: NDArray[np.int64], of_row: Mask) -> dict[str, Any]:
        """Of the episodes that ended in the environments `rows`, in these states."""
        all_states = np.zeros(len(of_row), dtype=np.int64)
        all_states[rows] = states
        return self._told((0.0 if self._prob is None else self._prob) * of_row, all_states, of_row)

    def single(self, state: int, is_reset: bool) -> dict[str, Any]:
        """Of one environment."""
        told: dict[str, Any] = {}
        if self._prob is not None:
            told["prob"] = self._reset_prob if is_reset else self._prob
        if self._masks is not None:
            told["action_mask"] = self._masks[state].copy()
        return told

    def _told(self, prob: NDArray[Any], states: NDArray[np.int64], of_row: Mask) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if self._prob is not None:
            told |= {"prob": prob, "_prob": of_row.copy()}
        if self._masks is not None:
            masks = np.where(of_row[:, None], self._masks[states], np.int8(0))
            told |= {"action_mask": masks, "_action_mask": of_row.copy()}
        return told


def told_by(id: str, arguments: dict[str, Any]) -> Told | None:
    """What an environment with these arguments tells; `None` for nothing."""
    if id.startswith("FrozenLake"):
        slippery = arguments.get("is_slippery", True)
        even = arguments.get("success_rate", _THIRD) == _THIRD
        prob = (_THIRD if even else None) if slippery else 1.0
        return None if prob is None else Told(prob, None, 1)
    if id.startswith("CliffWalking"):
        slippery = arguments.get("is_slippery", id.startswith("CliffWalkingSlippery"))
        return Told(_THIRD if slippery else 1.0, None, 1)
    if id.startswith("Taxi"):
        return Told(None if arguments.get("is_rainy", False) else 1.0, _taxi_masks(), 1.0)
    return None


def _taxi_masks() -> NDArray[np.int8]:
    """The actions that change something in each of the 500 states: south, north, east, west, pick up, drop off."""
    stands = [(0, 0), (0, 4), (4, 0), (4, 3)]
    walls_east = [{1}, {1}, set(), {0, 2}, {0, 2}]
    masks = np.zeros((500, 6), dtype=np.int8)
    for state in range(500):
        place, passenger, destination = divmod(state // 20, 5), state // 4 % 5, state % 4
        row, column = place
        masks[state] = [
            row < 4,
            row > 0,
            column < 4 and column not in walls_east[row],
            column > 0 and column - 1 not in walls_east[row],
            passenger < 4 and place == stands[passenger],
            passenger == 4 and (place == stands[destination] or place in stands),
        ]
    return masks
