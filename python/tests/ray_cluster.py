"""A cluster of three nodes on this machine, for the tests of Ray."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
from ray.cluster_utils import Cluster

#: Bytes of each node's store: the least that Ray takes.
STORE = 80 << 20


@contextmanager
def cluster_of(num_nodes: int = 3) -> Iterator[tuple[Cluster, list]]:
    """A head without cores, and nodes with a core each, connected to."""
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(num_nodes)]
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster, nodes
    finally:
        ray.shutdown()
        cluster.shutdown()


@contextmanager
def killing(cluster: Cluster, node, is_time: Callable[[], bool]) -> Iterator[None]:
    """Kills a node without a word, once it is time."""

    def kill() -> None:
        deadline = time.monotonic() + 120
        while not is_time() and time.monotonic() < deadline:
            time.sleep(0.02)
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()
