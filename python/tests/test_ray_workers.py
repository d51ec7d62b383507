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

BREAKS = """
import gymnasium

class Breaks(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)
    steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        self.steps += 1
        assert self.steps < 50, "broken after 50 steps"
        return self.observation_space.sample(), 0.0, False, False, {}

gymnasium.register("Breaks-v0", Breaks)
"""


@pytest.mark.parametrize("algorithm", ["appo", "impala"])
def test_a_run_learns_from_workers_on_other_nodes_and_goes_on_when_one_dies(
    algorithm: str, tmp_path: Path
) -> None:
    settings = {"runtime.checkpoint_every": 20_000}
    with cluster_of() as cluster:
        with killing(cluster, "_Worker", lambda: any((tmp_path / "run/checkpoints").glob("*"))):
            run = agon.ray.train(
                algorithm,
                "CartPole-v1",
                settings=settings,
                total_timesteps=200_000,
                out=tmp_path,
                name="run",
                progress=False,
            )
        assert run.finished
        # It goes on where it is, and on this machine.
        agon.ray.resume(run, total_timesteps=220_000, progress=False)
    agon.resume(run, total_timesteps=240_000, progress=False)
    steps = run.metrics["global_step"]
    assert steps[-1] >= 240_000 and (np.diff(steps) > 0).all()
    assert "other machines" in run.config["made_by"]["inexact"]
    assert (run.timing["policy_lag"] >= 0).all() and run.timing["worker_blocked_s"].max() > 0


def test_a_worker_that_is_lost_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def goes_on(progress: agon.Progress) -> bool:
        return "was lost" not in caplog.text

    def is_time() -> bool:
        metrics = tmp_path / "run/metrics.csv"
        return metrics.exists() and metrics.read_bytes().count(b"\n") > 20

    with cluster_of(3) as cluster, killing(cluster, "_Worker", is_time):
        settings = {"runtime.log_every": 2_000}
        options = {
            "workers": 2,
            "settings": settings,
            "total_timesteps": 20_000_000,
            "callback": goes_on,
            "progress": False,
        }
        run = agon.ray.train("appo", "CartPole-v1", out=tmp_path, name="run", **options)
    assert "it goes on in process" in caplog.text and not run.finished


def test_what_fails_on_a_worker_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    module = tmp_path / "breaks.py"
    module.write_text(BREAKS)
    with cluster_of(1), pytest.raises(agon.AgonError, match="worker 0, shard .*broken after 50 steps"):
        settings = {
            "env.module": str(module),
            "num_envs": 4,
            "runtime.num_shards": 2,
            "runtime.mode": "async",
        }
        agon.ray.train(
            "appo", "gymnasium:Breaks-v0", settings=settings, out=tmp_path, name="run", progress=False
        )


def test_the_program_spreads_an_asynchronous_run(tmp_path: Path) -> None:
    with cluster_of(2) as cluster:
        arguments = [
            "train",
            "appo",
            "CartPole-v1",
            "--total-timesteps",
            "20000",
            "--out",
            str(tmp_path),
            "--name",
            "run",
        ]
        engine = ["--engine", "ray", "--address", cluster.address]
        shown = subprocess.run(
            [sys.executable, "-m", "agon.ray", *arguments, *engine], capture_output=True, text=True
        )
        assert shown.returncode == 0 and "finished after" in shown.stdout, shown.stdout + shown.stderr
    assert "other machines" in agon.Run(tmp_path / "run").config["made_by"]["inexact"]
