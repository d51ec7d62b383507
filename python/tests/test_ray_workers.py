"""The workers of one asynchronous run on a cluster. Skipped where Ray is not installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import agon

ray = pytest.importorskip("ray")

from ray_cluster import cluster_of, killing  # noqa: E402

import agon.ray  # noqa: E402


@pytest.mark.parametrize("algorithm", ["appo", "impala"])
def test_a_run_learns_from_workers_on_other_nodes_and_goes_on_when_one_dies(algorithm: str, tmp_path: Path) -> None:
    settings = {"runtime.checkpoint_every": 20_000}
    with cluster_of() as (cluster, nodes):
        begun = lambda: list((tmp_path / "run/checkpoints").glob("*"))  # noqa: E731
        with killing(cluster, nodes[1], begun):
            run = agon.ray.train(
                algorithm, "CartPole-v1", settings=settings, total_timesteps=200_000, out=tmp_path, name="run", progress=False
            )
        assert run.finished
        # It goes on where it is, and on this machine.
        agon.ray.resume(run, total_timesteps=220_000, progress=False)
    agon.resume(run, total_timesteps=240_000, progress=False)
    steps = run.metrics["global_step"]
    assert steps[-1] >= 240_000 and (np.diff(steps) > 0).all()
    assert "other machines" in run.config["made_by"]["inexact"]
    assert (run.timing["policy_lag"] >= 0).all() and run.timing["worker_blocked_s"].max() > 0


def test_what_fails_on_a_worker_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    with cluster_of(1):
        settings = {"env.module": "no_such_module", "env.timeout_s": 10}
        with pytest.raises((agon.AgonError, ValueError), match="no_such_module"):
            agon.ray.train("appo", "gymnasium:CartPole-v1", settings=settings, out=tmp_path, name="a", progress=False)


def test_the_program_spreads_an_asynchronous_run(tmp_path: Path) -> None:
    with cluster_of(2) as (cluster, _):
        arguments = ["train", "appo", "CartPole-v1", "--total-timesteps", "20000", "--out", str(tmp_path), "--name", "run"]
        engine = ["--engine", "ray", "--address", cluster.address]
        shown = subprocess.run([sys.executable, "-m", "agon.ray", *arguments, *engine], capture_output=True, text=True)
        assert shown.returncode == 0 and "finished after" in shown.stdout, shown.stdout + shown.stderr
    assert "other machines" in agon.Run(tmp_path / "run").config["made_by"]["inexact"]
