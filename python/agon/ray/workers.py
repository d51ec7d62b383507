"""The workers of one asynchronous run as actors: they own shards, act with the newest policy that they can get, and send
fragments to the learner, which is where the call is made.

What is sent is packed and checked by the compiled half. Here is only what Ray is asked for: where workers are, that they come
again where a node has died, and how many calls are on their way.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any

import ray

from agon import _agon
from agon.ray.cluster import num_cpus

log = logging.getLogger("agon")

#: Calls that a worker has at a time: one that it works on, and one that waits, so that it need not.
IN_FLIGHT = 2
#: Seconds that the workers of a run that is over may take to end what they do.
CLOSE_S = 5.0


class Workers:
    """Has the workers of runs in actors; what the compiled half asks for a pool of them."""

    spread = "workers"

    def __init__(self, workers: int | None = None) -> None:
        """As many workers as there are shards and cores, unless a number is given."""
        self._workers = workers

    def pool(self) -> Pool:
        """The workers of a run."""
        return Pool(self._workers)


class Pool:
    """The workers of one run, and the fragments that they were asked for."""

    def __init__(self, workers: int | None) -> None:
        self._wanted = workers
        self._actors: list[Any] = []
        #: The shards of each worker; the one whose turn it is comes first.
        self._turns: list[deque[int]] = []
        #: The number of each shard's next fragment.
        self._numbers: list[int] = []
        self._policy: tuple[int, list[Any]] = (-1, [])
        #: Worker, shard and number of each call under way.
        self._calls: dict[Any, tuple[int, int, int]] = {}
        #: Where each worker was seen last.
        self._places: dict[int, str] = {}
        #: Fragments and bytes that have come.
        self.fragments = 0
        self.bytes = 0

    def begin(self, assignment: bytes, numbers: list[int]) -> None:
        """Starts the workers and deals the shards out to them; ``numbers`` are those of each shard's next fragment."""
        count = min(len(numbers), self._wanted or max(1, int(num_cpus())))
        # A worker that is lost comes again somewhere else, and what it was asked for is asked again.
        kind = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1, scheduling_strategy="SPREAD")(
            _Worker
        )
        self._actors = [kind.remote(assignment) for _ in range(count)]
        self._turns = [deque(range(worker, len(numbers), count)) for worker in range(count)]
        self._numbers = list(numbers)

    def publish(self, version: int, policy: bytes) -> None:
        """Says what fragments are acted with that are asked for from now on."""
        self._policy = version, [ray.put(policy)]
        if not self._calls:
            for worker in range(len(self._actors)):
                for _ in range(IN_FLIGHT):
                    self._ask(worker)

    def next(self, wait_s: float) -> tuple[int, int, bytes, float] | None:
        """Waits so long for a fragment: its shard and number, the bytes, and the seconds that its worker had nothing to do."""
        ready, _ = ray.wait(list(self._calls), timeout=wait_s)
        if not ready:
            return None
        worker, shard, number = self._calls.pop(ready[0])
        try:
            fragment, idle_s, place = ray.get(ready[0])
        except ray.exceptions.RayTaskError as error:
            raise _agon.AgonError(f"worker {worker}, shard {shard}: {error.cause}") from error
        if self._places.setdefault(worker, place) != place:
            log.warning("worker %d was lost; it goes on in %s with new episodes", worker, place)
            self._places[worker] = place
        self.fragments += 1
        self.bytes += len(fragment)
        self._ask(worker)
        return shard, number, fragment, idle_s

    def close(self) -> None:
        """Ends the workers, once they have done what they were asked for, if that is soon."""
        if self._calls:
            ray.wait(list(self._calls), num_returns=len(self._calls), timeout=CLOSE_S)
        self._calls.clear()
        for actor in self._actors:
            ray.kill(actor)
        self._actors.clear()

    def _ask(self, worker: int) -> None:
        turns = self._turns[worker]
        shard = turns[0]
        turns.rotate(-1)
        number = self._numbers[shard]
        self._numbers[shard] += 1
        version, policy = self._policy
        call = self._actors[worker].collect.remote(shard, number, version, policy)
        self._calls[call] = worker, shard, number


class _Worker:
    """An actor: one worker of a run.

    A call says which fragment of which shard it is about, because calls that are made again come in any order, and one that
    has begun anew must know where it stands.
    """

    def __init__(self, assignment: bytes) -> None:
        context = ray.get_runtime_context()
        self._place = f"process {context.get_worker_id()[:8]} on node {context.get_node_id()[:8]}"
        self._worker = _agon.Worker(assignment)
        self._ended: float | None = None

    def collect(self, shard: int, number: int, version: int, policy: list[Any]) -> tuple[bytes, float, str]:
        """A fragment, the seconds without anything to do before it, and where this is.

        ``policy`` holds a reference to the newest one, which is fetched only if it is another than the worker has.
        """
        begun = time.perf_counter()
        idle_s = 0.0 if self._ended is None else begun - self._ended
        if version > (-1 if self._worker.version is None else self._worker.version):
            self._worker.take_policy(ray.get(policy[0]))
        fragment = self._worker.collect(shard, number)
        self._ended = time.perf_counter()
        return fragment, idle_s, self._place
