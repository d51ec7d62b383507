"""What runs on a cluster give: six seeds while a node dies, and an asynchronous run whose workers are on two nodes.

    python benches/ray_cluster.py [FOLDER]

The cluster has a head and three nodes with a core each, all on this machine. Prints tables, and draws `appo.svg` in the folder.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import ray

sys.path.insert(0, str(Path(__file__).parents[1] / "python" / "tests"))

from ray_cluster import cluster_of, killing  # noqa: E402

import agon  # noqa: E402
import agon.ray  # noqa: E402

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("results/ray")
FILES = ("metrics.csv", "episodes.csv", "model.safetensors")
SOLVED = 475.0


def digest(run: Path) -> str:
    """A checksum of everything that a run's configuration decides."""
    found = hashlib.sha256()
    for name in FILES:
        found.update((run / name).read_bytes())
    return found.hexdigest()[:16]


def saved(path: Path, seeds: tuple[int, ...]) -> bool:
    """Whether the runs of seeds have a checkpoint each."""
    return all(any((path / f"seed_{seed}/checkpoints").glob("*.ckpt")) for seed in seeds)


def seeds(out: Path) -> None:
    """Six seeds of a preset, on one machine and on the cluster, where a node is killed."""
    options = {
        "seeds": 6,
        "preset": "ppo-cartpole",
        "settings": {"runtime.checkpoint_every": 20_000},
        "out": out,
        "progress": False,
    }
    begun = time.perf_counter()
    alone = agon.train("ppo", "CartPole-v1", name="alone", **options)
    alone_s = time.perf_counter() - begun
    with cluster_of(3) as cluster:
        with killing(cluster, "_fulfil", lambda: saved(out / "cluster", (1, 2, 3))):
            begun = time.perf_counter()
            spread = agon.ray.train("ppo", "CartPole-v1", name="cluster", **options)
            spread_s = time.perf_counter() - begun
        left = sum(node["Alive"] for node in ray.nodes()) - 1
    print(
        f"\nOne machine {alone_s:.1f} s, three nodes of which one was killed {spread_s:.1f} s; nodes left {left}.\n"
    )
    print(
        "| seed | steps | return | SHA-256 of metrics, episodes and weights, one machine | on the cluster | same |\n"
        "|---|---|---|---|---|---|"
    )
    for seed, run in alone.seeds.items():
        one, other = digest(run.path), digest(spread.seeds[seed].path)
        ended = spread.outcomes[seed]
        print(
            f"| {seed} | {ended['env_steps']} | {ended['mean_return']:.1f} | `{one}` | `{other}` | "
            f"{'yes' if one == other else 'NO'} |"
        )


def workers(out: Path) -> None:
    """APPO with a worker on each of two nodes, three seeds."""
    with cluster_of(2):
        runs = [
            agon.ray.train("appo", "CartPole-v1", seed=seed, out=out, name=f"seed_{seed}", progress=False)
            for seed in (1, 2, 3)
        ]
    print(
        f"\n| seed | steps | steps until {SOLVED:g} | return | 100 greedy episodes | steps/s | policy lag | learner waits | "
        "workers wait |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for seed, run in enumerate(runs, 1):
        metrics, timing, ended = run.metrics, run.timing, run.outcomes[seed]
        solved = np.flatnonzero(metrics["charts/episodic_return"] >= SOLVED)
        reached = int(metrics["global_step"][solved[0]]) if len(solved) else "never"
        rate, seconds = ended["env_steps"] / ended["seconds"], ended["seconds"]
        waits, blocked = (
            timing["learner_wait_s"].sum() / seconds,
            timing["worker_blocked_s"].sum() / seconds / 2,
        )
        print(
            f"| {seed} | {ended['env_steps']} | {reached} | {ended['mean_return']:.1f} | {run.evaluate(100).mean_return:.1f} | "
            f"{rate:,.0f} | {timing['policy_lag'].mean():.2f} | {waits:.0%} | {blocked:.0%} |"
        )
    agon.plot({"APPO, workers on 2 nodes": runs}, FOLDER / "appo.svg", title="CartPole-v1")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as out:
        seeds(Path(out))
        workers(Path(out))
