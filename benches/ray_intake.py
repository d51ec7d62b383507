"""What a learner takes in from workers elsewhere, and so how many it can serve.

    python benches/ray_intake.py [SECONDS]

For each run: bytes of a fragment and of a step; the fragments a second that one worker makes on one core; those that the
learner takes in when they are always there, unpacked, checked and learned from; those that one worker on this machine gets
through Ray; and how many workers keep the learner busy.
"""

from __future__ import annotations

import sys
import tempfile
import time
from statistics import median
from typing import Any

import ray

import agon
from agon import _agon
from agon.ray.workers import Workers

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
#: Algorithm, environment, steps and environments of a fragment, hidden layers.
CASES = [
    ("appo", "CartPole-v1", 32, 8),
    ("impala", "CartPole-v1", 8, 4),
    ("appo", "CartPole-v1", 128, 32),
    ("appo", "MinAtar/Breakout-v0", 32, 32),
    ("appo", "LunarLander-v3", 64, 16),
]
SHARDS = 4
#: Fragments of each shard that are made beforehand, and given to the learner again and again.
KEPT = 32


class Kept:
    """Workers that have their fragments ready: what is measured then is the learner."""

    spread = "workers"

    def pool(self) -> Kept:
        """Itself: one run is measured."""
        return self

    def begin(self, assignment: bytes, numbers: list[int]) -> None:
        """Makes a worker here."""
        self._worker = _agon.Worker(assignment)
        self._fragments: list[tuple[int, bytes]] = []
        self.seconds: list[float] = []
        self._given = 0

    def publish(self, version: int, policy: bytes) -> None:
        """Makes the fragments with the first policy."""
        if self._fragments:
            return
        self._worker.take_policy(policy)
        for number in range(KEPT):
            for shard in range(SHARDS):
                begun = time.perf_counter()
                fragment = self._worker.collect(shard, number)
                self.seconds.append(time.perf_counter() - begun)
                self._fragments.append((shard, fragment))

    def next(self, wait_s: float) -> tuple[int, int, bytes, float]:
        """The next one."""
        shard, fragment = self._fragments[self._given % len(self._fragments)]
        self._given += 1
        return shard, self._given, fragment, 0.0

    def close(self) -> None:
        """Nothing is left to be done."""

    @property
    def bytes(self) -> float:
        """Of a fragment."""
        return median(len(fragment) for _, fragment in self._fragments)


def trained(engine: Any, algorithm: str, env: str, num_steps: int, num_envs: int) -> float:
    """Fragments a second that a learner learns from, after the first second."""
    seen: list[tuple[float, int]] = []

    def watch(event: dict[str, Any]) -> bool:
        if "env_steps" in event:
            seen.append((event["seconds"], event["env_steps"]))
        return not seen or seen[-1][0] < SECONDS

    settings = {
        "num_envs": SHARDS * num_envs, "runtime.num_shards": SHARDS, "runtime.mode": "async", "agent.num_steps": num_steps,
        "network.encoder": {"kind": "mlp", "hidden": [64, 64]}, "runtime.checkpoint_every": 10**12,
    }  # fmt: skip
    options = {
        "preset": "none",
        "total_timesteps": 10**12,
        "threads": 1,
        "watch": watch,
        "each_iteration": True,
    }
    with tempfile.TemporaryDirectory() as out:
        _agon.train(algorithm, env, settings, out=out, name="run", engine=engine, **options)
    later = [(seconds, steps) for seconds, steps in seen if seconds > min(1.0, SECONDS / 2)]
    (first, before), (last, after) = later[0], later[-1]
    return (after - before) / (last - first) / (num_steps * num_envs)


def row(algorithm: str, env: str, num_steps: int, num_envs: int) -> str:
    """A row of the table."""
    kept = Kept()
    taken = trained(kept, algorithm, env, num_steps, num_envs)
    made = 1 / median(kept.seconds)
    through = trained(Workers(1), algorithm, env, num_steps, num_envs)
    steps = num_steps * num_envs
    return (
        f"| {algorithm} {env} | {num_steps} × {num_envs} | {kept.bytes / 1024:.1f} | {kept.bytes / steps:.1f} | {made:,.0f} | "
        f"{taken:,.0f} | {taken * steps:,.0f} | {taken * kept.bytes / 1e6:.1f} | {through:,.0f} | "
        f"{taken / min(made, through):.1f} |"
    )


def main() -> None:
    """Prints the table."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    columns = (
        "run", "T × N", "KiB a fragment", "bytes a step", "worker, fragments/s", "learner, fragments/s", "learner, steps/s",
        "learner, MB/s", "one worker through Ray, fragments/s", "workers for a learner",
    )  # fmt: skip
    print(f"Agon {agon.__version__}, Ray {ray.__version__}, {SECONDS:g} s each, learner with one thread\n")
    print("|", " | ".join(columns), "|\n|", "|".join("---" for _ in columns), "|", sep="")
    for case in CASES:
        print(row(*case), flush=True)
    ray.shutdown()


if __name__ == "__main__":
    main()
