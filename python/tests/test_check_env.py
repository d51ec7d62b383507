"""Gymnasium's own checks over every environment, and how its registry finds them."""

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import agon
from agon._agon import environment
from agon.registration import gymnasium_id

SINGLE = [id for id in agon.environments() if environment(id)["num_agents"] == 1]
# What Gymnasium warns of and is meant so.
MEANT = "A Box observation space|we recommend using a symmetric and normalized space|is out of date"


class Legal(gymnasium.spaces.Discrete):
    """Actions of which only those are drawn that are legal now."""

    legal: np.ndarray | None = None

    def __init__(self, id: str, n: int) -> None:
        super().__init__(n)
        self.id = id

    def seed(self, seed: int | None = None) -> int:
        # Gymnasium then draws an action, resets with the same seed, and takes it.
        self.legal = agon.make(self.id).reset(seed=seed)[1].get("action_mask")
        return super().seed(seed)

    def sample(self, mask: object = None, probability: object = None) -> np.int64:
        return super().sample(mask=self.legal)


class Watched(agon.AgonEnv):
    """An environment that tells its action space what is legal."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.spec = agon.make(id).spec
        if isinstance(self.action_space, gymnasium.spaces.Discrete):
            self.action_space = Legal(id, self.action_space.n)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        result = super().reset(seed=seed, options=options)
        self.action_space.legal = result[-1].get("action_mask")
        return result

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        result = super().step(action)
        self.action_space.legal = result[-1].get("action_mask")
        return result


@pytest.mark.parametrize("id", SINGLE)
def test_check_env_passes(id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=f".*({MEANT})")
        env = agon.make(id)
        check_env(Watched(id) if "action_mask" in env.reset(seed=0)[1] else env)


def test_make_finds_every_environment() -> None:
    assert len(SINGLE) > 90
    for id in SINGLE:
        assert gymnasium_id(id) in gymnasium.registry


def test_make_limits_episodes_as_gymnasium_does() -> None:
    env = gymnasium.make("agon/CartPole-v1", max_episode_steps=3)
    env.reset(seed=0)
    assert [env.step(i % 2)[3] for i in range(3)] == [False, False, True]
    assert gymnasium.make("agon/MountainCar-v0").spec.max_episode_steps == 200
    env = agon.make("MountainCar-v0")
    env.reset(seed=0)
    assert [env.step(1)[3] for _ in range(200)] == [False] * 199 + [True]


def test_make_collects_pictures() -> None:
    env = gymnasium.make("agon/CartPole-v1", render_mode="rgb_array_list")
    env.reset(seed=0)
    env.step(0)
    assert [frame.shape for frame in env.render()] == [(400, 600, 3)] * 2


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_make_vec_makes_our_vector(mode: AutoresetMode) -> None:
    env = gymnasium.make_vec("agon/MinAtar-Breakout-v0", num_envs=3, autoreset_mode=mode, num_threads=2)
    assert isinstance(env, agon.AgonVectorEnv)
    assert env.metadata["autoreset_mode"] is mode
    assert env.reset(seed=1)[0].shape == (3, 10, 10, 4)
    again = gymnasium.make_vec(env.spec)
    np.testing.assert_array_equal(again.reset(seed=1)[0], env.reset(seed=1)[0])


def test_a_vector_is_its_environments_side_by_side() -> None:
    for id in ("CartPole-v1", "MinAtar/Asterix-v0", "MiniGrid-DoorKey-5x5-v0", "LunarLander-v3"):
        ours = agon.make_vec(id, 3, autoreset_mode="SameStep")
        theirs = gymnasium.vector.SyncVectorEnv([lambda id=id: agon.make(id)] * 3, autoreset_mode="SameStep")
        ours.action_space.seed(3)
        assert_equal(ours.reset(seed=5)[0], theirs.reset(seed=5)[0])
        for _ in range(300):
            actions = ours.action_space.sample()
            for found, expected in zip(ours.step(actions)[:4], theirs.step(actions)[:4], strict=True):
                assert_equal(found, expected)


def assert_equal(found: object, expected: object) -> None:
    if isinstance(expected, dict):
        for key in expected:
            assert_equal(found[key], expected[key])
    else:
        np.testing.assert_array_equal(found, expected)
