"""The cluster that this process is connected to."""

from __future__ import annotations

import logging

import ray

#: Seconds to wait for something before looking whether to go on.
LOOK_EVERY_S = 1.0


def connect(address: str | None) -> None:
    """Connects to a cluster, unless this process is connected already.

    Without an address to the one that this machine is a node of; where there is none, Ray starts on this machine alone.
    """
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)


def num_cpus() -> float:
    """Cores of all nodes."""
    return ray.cluster_resources().get("CPU", 0.0)


def num_nodes() -> int:
    """Nodes that are alive."""
    return sum(node["Alive"] for node in ray.nodes())
