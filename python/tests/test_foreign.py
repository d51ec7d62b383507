"""Environments of Gymnasium in worker processes of the interpreter that called."""

from pathlib import Path

import numpy as np
import pytest

import agon


def test_an_environment_of_gymnasium_trains_evaluates_and_resumes(tmp_path: Path) -> None:
    run = agon.train("ppo", "gymnasium:CartPole-v1", total_timesteps=2_000, out=tmp_path, name="run", progress=False)
    assert run.finished and run.config["made_by"]["env_versions"]["gymnasium"]
    assert np.isfinite(run.evaluate(episodes=3).mean_return)
    assert agon.resume(run, total_timesteps=3_000, progress=False).finished
    action, _ = run.policy()(np.zeros(4, dtype=np.float32))
    assert action in (0, 1)


def test_an_id_that_gymnasium_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises((ValueError, agon.AgonError), match="CartPol"):
        agon.train("ppo", "gymnasium:CartPol-v1", total_timesteps=100, out=tmp_path, progress=False)
