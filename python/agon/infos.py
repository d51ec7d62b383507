"""What Gymnasium's toy-text worlds tell beside their observations, for the environments that repeat them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Told(Protocol):
    """What an environment tells beside its observations."""

    def current(self, observations: Any, of_row: NDArray[np.bool_], is_reset: bool) -> dict[str, Any]:
        """Of a step or reset, for the environments of `of_row`."""

    def final(self, last: Any, rows: NDArray[np.int64], of_row: NDArray[np.bool_]) -> dict[str, Any]:
        """Of the `K` episodes that ended, given their last observations."""

    def single(self, observations: Any, is_reset: bool) -> dict[str, Any]:
        """Of one environment."""


def told_by(id: str, arguments: dict[str, Any]) -> Told | None:
    """Who tells something of an environment."""
    return None
