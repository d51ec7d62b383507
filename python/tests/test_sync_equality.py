"""Our vectors give what `SyncVectorEnv` gives over Gymnasium's own environments: bits, flags, final observations and infos."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import agon

NUM_ENVS = 4
NUM_STEPS = 5000

# Gymnasium computes these in numbers of 64 bits with functions of the C library; ours are the same up to the last bits.
NEARLY = {
    "Acrobot-v1": 1e-5,
    "MountainCarContinuous-v0": 1e-5,
    "Pendulum-v1": 1e-6,
}
IDS = [
    "Acrobot-v1",
    "Blackjack-v1",
    "CartPole-v1",
    "CliffWalking-v1",
    "CliffWalkingSlippery-v1",
    "FrozenLake-v1",
    "FrozenLake8x8-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Pendulum-v1",
    "Taxi-v4",
]


def assert_same(ours: Any, theirs: Any, tolerance: float, where: str) -> None:
    """Equality of type, structure, shape, dtype and values; of numbers up to `tolerance`."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict) and ours.keys() == theirs.keys(), f"{where}: {ours} instead of {theirs}"
        for key, value in theirs.items():
            assert_same(ours[key], value, tolerance, f"{where}[{key!r}]")
    elif isinstance(theirs, tuple):
        assert isinstance(ours, tuple) and len(ours) == len(theirs), f"{where}: {ours} instead of {theirs}"
        for i, value in enumerate(theirs):
            assert_same(ours[i], value, tolerance, f"{where}[{i}]")
    elif isinstance(theirs, np.ndarray):
        assert isinstance(ours, np.ndarray) and ours.shape == theirs.shape, where
        if theirs.dtype == object:
            assert ours.dtype == object, where
            for i, value in enumerate(theirs):
                assert_same(ours[i], value, tolerance, f"{where}[{i}]")
            return
        if where.endswith("['prob']"):
            # Gymnasium rounds a third to zero where the first environment to tell something was just reset; and its
            # thirds are of two kinds, a bit apart.
            np.testing.assert_allclose(ours.astype(theirs.dtype), theirs, rtol=1e-15, err_msg=where)
            return
        assert ours.dtype == theirs.dtype, f"{where}: {ours.dtype} instead of {theirs.dtype}"
        if tolerance and theirs.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance, err_msg=where)
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=where)
    else:
        assert type(ours) is type(theirs), f"{where}: {type(ours)} instead of {type(theirs)}"
        assert ours == theirs, where


def pair(id: str, mode: AutoresetMode, num_threads: int = 1) -> tuple[agon.AgonVectorEnv, SyncVectorEnv]:
    theirs = SyncVectorEnv([lambda: gymnasium.make(id)] * NUM_ENVS, autoreset_mode=mode)
    return agon.make_vec(id, NUM_ENVS, autoreset_mode=mode, num_threads=num_threads), theirs


@pytest.mark.parametrize("id", IDS)
def test_spaces_are_gymnasiums(id: str) -> None:
    ours, theirs = pair(id, AutoresetMode.NEXT_STEP)
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.single_action_space == theirs.single_action_space
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("id", IDS)
def test_a_vector_gives_what_sync_vector_env_gives(id: str, mode: AutoresetMode) -> None:
    tolerance = NEARLY.get(id, 0.0)
    ours, theirs = pair(id, mode)
    assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"]
    theirs.action_space.seed(7)
    assert_same(ours.reset(seed=42), theirs.reset(seed=42), tolerance, "reset")
    for step in range(NUM_STEPS):
        actions = theirs.action_space.sample()
        expected = theirs.step(actions)
        found = ours.step(actions)
        assert_same(found, expected, tolerance, f"step {step}")
        over = expected[2] | expected[3]
        if mode is AutoresetMode.DISABLED and over.any():
            reset = (env.reset(options={"reset_mask": over}) for env in (ours, theirs))
            assert_same(*reset, tolerance, f"reset after step {step}")
