"""The adapter for Stable-Baselines3, where that is installed."""

import numpy as np
import pytest

stable_baselines3 = pytest.importorskip("stable_baselines3", reason="needs stable-baselines3, and so PyTorch")

from agon.sb3 import VecEnv  # noqa: E402


def test_episodes_end_with_their_last_observation_and_statistics() -> None:
    env = VecEnv("CartPole-v1", 3, max_episode_steps=15)
    env.seed(5)
    observations = env.reset()
    assert observations.shape == (3, 4)
    ends = {"limit": 0, "fall": 0}
    rng = np.random.default_rng(0)
    for _ in range(200):
        observations, rewards, over, infos = env.step(rng.integers(0, 2, 3))
        assert rewards.dtype == np.float32
        for env_over, observation, info in zip(over, observations, infos, strict=True):
            assert ("terminal_observation" in info) == env_over
            if env_over:
                assert (info["terminal_observation"] != observation).any()
                assert info["episode"]["r"] == info["episode"]["l"] <= 15
                ends["limit" if info["TimeLimit.truncated"] else "fall"] += 1
    assert ends["limit"] > 3 and ends["fall"] > 3


def test_seeds_are_those_of_the_vector() -> None:
    env = VecEnv("CartPole-v1", 2)
    env.seed(7)
    first = env.reset()
    assert (env.reset() != first).all()
    env.seed(7)
    np.testing.assert_array_equal(env.reset(), first)


def test_an_algorithm_trains_on_it() -> None:
    model = stable_baselines3.PPO(
        "MlpPolicy", VecEnv("CartPole-v1", 4), n_steps=64, batch_size=64, seed=0, device="cpu"
    )
    model.learn(total_timesteps=512)
    assert model.num_timesteps == 512


def test_masks_are_what_maskable_ppo_asks_for() -> None:
    env = VecEnv("TicTacToe-v0", 2)
    env.seed(0)
    env.reset()
    before = np.stack(env.env_method("action_masks"))
    assert before.dtype == np.bool_ and before.sum(axis=1).min() >= 8
    moves = before.argmax(axis=1)
    observations = env.step(moves)[0]
    masks = np.stack(env.env_method("action_masks"))
    # What is taken, by the agent's move and by the environment's, is in the first two planes.
    np.testing.assert_array_equal(masks, ~observations[..., :2].any(axis=-1).reshape(2, 9))
    np.testing.assert_array_equal(masks.sum(axis=1), before.sum(axis=1) - 2)
    assert not masks[[0, 1], moves].any()
