"""The program ``agon`` with a connection to Ray: what ``agon … --engine ray`` becomes."""

from __future__ import annotations

import sys
from typing import Any

from agon import _agon
from agon.ray.cluster import connect
from agon.ray.runs import Runs
from agon.ray.workers import Workers


def main() -> int:
    """Runs the command line of this process."""
    return _agon.main(["agon", *sys.argv[1:]], _engine)


def _engine(address: str | None, spread: str, threads: int) -> Any:
    connect(address)
    return Workers() if spread == "workers" else Runs(threads)


if __name__ == "__main__":
    sys.exit(main())
