"""Runs through Ray: the bits of one machine, after the death of a node too. Skipped where Ray is not installed."""

import threading
import time
from pathlib import Path

import pytest

import agon

ray = pytest.importorskip("ray")
pytest.importorskip("ray.tune")

from ray import tune  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402
from ray.tune.utils import validate_save_restore  # noqa: E402

import agon.ray  # noqa: E402

FILES = ("metrics.csv", "episodes.csv", "model.safetensors")


def files(run: agon.Run) -> dict[str, bytes]:
    return {name: (run.path / name).read_bytes() for name in FILES}


@pytest.fixture
def local():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def config(**others) -> dict:
    return {"algorithm": "ppo", "env": "CartPole-v1", "seed": 2, "total_timesteps": 6_000, "steps_per_iteration": 1_000, **others}


def test_trials_resume_exactly(local, tmp_path: Path) -> None:
    assert validate_save_restore(agon.ray.Trainable, config())
    first = agon.ray.Trainable(config())
    for _ in range(3):
        first.train()
    (tmp_path / "checkpoint").mkdir()
    first.save(str(tmp_path / "checkpoint"))
    second = agon.ray.Trainable(config())
    second.restore(str(tmp_path / "checkpoint"))
    while not (result := second.train())["done"]:
        pass
    whole = agon.train("ppo", "CartPole-v1", seed=2, total_timesteps=6_000, out=tmp_path, name="whole", progress=False)
    assert files(agon.Run(second._path)) == files(whole)
    assert result["env_steps"] == whole.outcomes[2]["env_steps"]
    other = agon.ray.Trainable(config(**{"agent.learning_rate": 1e-4}))
    other.restore(str(tmp_path / "checkpoint"))
    assert other.train()["env_steps"] < 2_000, "other settings begin from the weights"


def test_tune_finds_the_better_setting(local, tmp_path: Path) -> None:
    space = config(**{"agent.learning_rate": tune.grid_search([1e-3, 1e-7])}, total_timesteps=20_000, steps_per_iteration=10_000)
    tuner = tune.Tuner(
        agon.ray.Trainable,
        param_space=space,
        run_config=tune.RunConfig(storage_path=str(tmp_path), name="search", verbose=0),
    )
    best = tuner.fit().get_best_result("mean_return", "max")
    assert best.config["agent.learning_rate"] == 1e-3 and best.metrics["env_steps"] >= 20_000


def test_a_cluster_gives_the_bits_of_one_machine_though_a_node_dies(tmp_path: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    ray.init(address=cluster.address, log_to_driver=False)
    options = {"seeds": 6, "total_timesteps": 300_000, "settings": {"runtime.checkpoint_every": 10_000}}
    try:
        killed = threading.Thread(target=kill_in_the_middle, args=(cluster, nodes[0], tmp_path / "cluster"))
        killed.start()
        spread = agon.ray.train("ppo", "CartPole-v1", out=tmp_path, name="cluster", **options)
        killed.join()
        assert len([node for node in ray.nodes() if node["Alive"]]) == 3
    finally:
        ray.shutdown()
        cluster.shutdown()
    alone = agon.train("ppo", "CartPole-v1", out=tmp_path, name="alone", progress=False, **options)
    for seed, run in alone.seeds.items():
        assert files(spread.seeds[seed]) == files(run), f"seed {seed}"


def kill_in_the_middle(cluster: Cluster, node, path: Path) -> None:
    deadline = time.monotonic() + 120
    while not list(path.glob("seed_*/checkpoints/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    cluster.remove_node(node, allow_graceful=False)
