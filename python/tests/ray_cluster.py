"""A cluster of three nodes on this machine, for the tests of Ray."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

#: Bytes of each node's store: the least that Ray takes.
STORE = 80 << 20


@contextmanager
def cluster_of(num_nodes: int = 3) -> Iterator[Cluster]:
    """A head without cores, and nodes with a core each, connected to."""
    # A dead node is noticed after seconds instead of half a minute.
    noticing = {
        "health_check_period_ms": 1000,
        "health_check_timeout_ms": 3000,
        "health_check_failure_threshold": 3,
    }
    head = {
        "num_cpus": 0,
        "include_dashboard": False,
        "object_store_memory": STORE,
        "_system_config": noticing,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(num_nodes):
            cluster.add_node(num_cpus=1, object_store_memory=STORE)
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@contextmanager
def killing(cluster: Cluster, work: str, is_time: Callable[[], bool]) -> Iterator[None]:
    """Kills a node that is at some work with all its processes, as a power cut does, once it is time."""
    killed: list[str] = []

    def kill() -> None:
        deadline = time.monotonic() + 120
        while not is_time() and time.monotonic() < deadline:
            time.sleep(0.02)
        while not killed and time.monotonic() < deadline:
            for node in list(cluster.worker_nodes):
                processes = processes_of(node)
                if any(work in name for name in processes.values()):
                    # The raylet last: without it the others would go on for a while.
                    for pid in processes:
                        os.kill(pid, signal.SIGKILL)
                    killed.extend(processes.values())
                    cluster.remove_node(node, allow_graceful=False)
                    break

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()
    assert killed, f"no node was at {work}"


def processes_of(node) -> dict[int, str]:
    """The processes of a node, and what they are called: by what they are at."""
    raylet = node.all_processes["raylet"][0].process.pid
    names = {}
    for pid in map(int, Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()):
        try:
            names[pid] = Path(f"/proc/{pid}/cmdline").read_text()
        except FileNotFoundError:
            continue
    return names
