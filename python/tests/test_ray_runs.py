"""Whole runs on a cluster: the bits of one machine, after the death of a node too. Skipped where Ray is not installed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import agon

ray = pytest.importorskip("ray")

from ray_cluster import cluster_of, killing  # noqa: E402

import agon.ray  # noqa: E402

FILES = ("metrics.csv", "episodes.csv", "model.safetensors")
SWEEP = """
algorithm = "ppo"
env = "CartPole-v1"
preset = "none"
seeds = 2
strategy = { kind = "successive_halving", trials = 4, eta = 2, min_steps = 2560 }
settings = { total_timesteps = 10240, num_envs = 4, agent.num_steps = 32, network.encoder.hidden = [8] }
parameters.agent.learning_rate = { kind = "log_uniform", low = 1e-4, high = 1e-2 }
"""
SUITE = """
[[entry]]
name = "small"
algorithm = "ppo"
env = "CartPole-v1"
settings = { total_timesteps = 4096, num_envs = 4, agent.num_steps = 32, network.encoder.hidden = [8] }
seeds = 3
measure = { kind = "last_100" }
wanted = { mean = 5.0 }
"""


def files(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in FILES}


def saved(path: Path, seeds: tuple[int, ...]) -> bool:
    """Whether the runs of seeds have a checkpoint each."""
    return all(any((path / f"seed_{seed}/checkpoints").glob("*.ckpt")) for seed in seeds)


def test_seeds_have_the_bits_of_one_machine_though_a_node_dies(tmp_path: Path) -> None:
    options = {
        "seeds": 6,
        "total_timesteps": 120_000,
        "settings": {"runtime.checkpoint_every": 5_000},
        "progress": False,
    }
    with cluster_of() as cluster:
        with killing(cluster, "_fulfil", lambda: saved(tmp_path / "cluster", (1, 2, 3))):
            spread = agon.ray.train("ppo", "CartPole-v1", out=tmp_path, name="cluster", **options)
        assert sum(node["Alive"] for node in ray.nodes()) == 3, "the head, and two of three nodes"
        assert spread.finished
        again = agon.ray.train("ppo", "CartPole-v1", out=tmp_path, name="cluster", **options)
    alone = agon.train("ppo", "CartPole-v1", out=tmp_path, name="alone", **options)
    for seed, run in alone.seeds.items():
        assert files(spread.seeds[seed].path) == files(run.path), f"seed {seed}"
    assert {seed: run["env_steps"] for seed, run in again.outcomes.items()} == dict.fromkeys(
        range(1, 7), 120_064
    ) and again.finished


def test_sweeps_and_suites_decide_and_measure_as_on_one_machine(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(SWEEP)
    for place in ("alone", "cluster"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "suite.toml").write_text(SUITE)
    with cluster_of() as cluster:
        found = agon.ray.sweep(tmp_path / "sweep.toml", out=tmp_path / "cluster", progress=False)
        entries = agon.ray.suite(tmp_path / "cluster" / "suite.toml", progress=False)
        # The same through the program, which finds everything done.
        program = [
            sys.executable,
            "-m",
            "agon.ray",
            "sweep",
            str(tmp_path / "sweep.toml"),
            "--out",
            str(tmp_path / "cluster"),
        ]
        shown = subprocess.run(
            [*program, "--engine", "ray", "--address", cluster.address, "--json"],
            capture_output=True,
            text=True,
        )
        assert shown.returncode == 0 and '"trials"' in shown.stdout, shown.stderr
    here = agon._agon.sweep(tmp_path / "sweep.toml", tmp_path / "alone" / "sweep")
    agon._agon.suite(tmp_path / "alone" / "suite.toml")
    trials = [trial["trial"] for trial in found["trials"]]
    assert trials == [trial["trial"] for trial in here["trials"]] and len(trials) == 4
    table = "sweep/trials.csv"
    assert (tmp_path / "cluster" / table).read_bytes() == (tmp_path / "alone" / table).read_bytes()
    assert [(entry["name"], entry["done"], entry["reached"], len(entry["scores"])) for entry in entries] == [
        ("small", True, True, 3)
    ]
    curve = "reference/small/curve.csv"
    assert (tmp_path / "cluster" / curve).read_bytes() == (tmp_path / "alone" / curve).read_bytes()
    scores = (tmp_path / "cluster" / "reference/small/scores.csv").read_text()
    assert f'"Ray {ray.__version__}, 4 nodes with 3 cores"' in scores, scores


def test_a_run_that_fails_says_so_and_the_others_end(tmp_path: Path) -> None:
    with cluster_of(2):
        with pytest.raises(agon.AgonError, match="seed 1: .*at update"):
            agon.ray.train(
                "ppo",
                "CartPole-v1",
                settings={"agent.learning_rate": 1e30},
                seeds=2,
                total_timesteps=5_000,
                out=tmp_path,
                name="a",
            )
        with pytest.raises(ValueError, match="learning_rat"):
            agon.ray.train(
                "ppo", "CartPole-v1", settings={"agent.learning_rat": 1}, seeds=2, out=tmp_path, name="b"
            )


def test_ctrl_c_stops_runs_at_checkpoints(tmp_path: Path) -> None:
    with cluster_of(2) as cluster:
        arguments = [
            "train",
            "ppo",
            "CartPole-v1",
            "--seeds",
            "3",
            "--total-timesteps",
            "1M",
            "--out",
            str(tmp_path),
            "--name",
            "run",
        ]
        engine = ["--engine", "ray", "--address", cluster.address]
        program = subprocess.Popen(
            [sys.executable, "-m", "agon.ray", *arguments, *engine],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        deadline = time.monotonic() + 60
        while not (tmp_path / "run/seed_1/metrics.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        program.send_signal(signal.SIGINT)
        output, _ = program.communicate(timeout=60)
        assert program.returncode == 130 and "continue with: agon resume" in output, output
        saved = list((tmp_path / "run/seed_1/checkpoints").glob("*.ckpt"))
        assert saved and not os.path.exists(tmp_path / "run/seed_3/metrics.csv"), output
