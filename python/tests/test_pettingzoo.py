"""PettingZoo's own checks over every environment of several agents and every board, and what its API does not check."""

import numpy as np
import pytest

pettingzoo = pytest.importorskip("pettingzoo")
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test  # noqa: E402

import agon  # noqa: E402
from agon._agon import environment  # noqa: E402

ARENAS = [id for id in agon.environments() if environment(id)["num_agents"] > 1]
BOARDS = [id for id in agon.environments() if environment(id)["is_board"]]


def test_there_are_arenas_and_boards() -> None:
    assert len(ARENAS) >= 12
    assert BOARDS == ["ConnectFour-v0", "Othello-v0", "TicTacToe-v0"]


@pytest.mark.parametrize("id", ARENAS)
def test_parallel_checks_pass(id: str) -> None:
    parallel_api_test(agon.parallel_env(id), num_cycles=200)
    parallel_seed_test(lambda: agon.parallel_env(id), num_cycles=50)


@pytest.mark.parametrize("id", BOARDS + ARENAS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_turn_taking_checks_pass(id: str) -> None:
    api_test(agon.aec_env(id), num_cycles=200)
    seed_test(lambda: agon.aec_env(id), num_cycles=50)


def test_a_parallel_step_is_a_row_an_agent() -> None:
    env = agon.parallel_env("Foraging-8x8-2p-2f-v3")
    observations, infos = env.reset(seed=3)
    assert list(observations) == ["agent_0", "agent_1"] == env.agents
    again = agon.parallel_env("Foraging-8x8-2p-2f-v3")
    for agent, observation in again.reset(seed=3)[0].items():
        np.testing.assert_array_equal(observation, observations[agent])
    for _ in range(50):
        _, rewards, terminated, truncated, _ = env.step(dict.fromkeys(env.agents, 0))
    assert rewards == {"agent_0": 0.0, "agent_1": 0.0}
    assert all(truncated.values()) and not any(terminated.values())
    assert env.agents == []
    with pytest.raises(ValueError, match="agent_1"):
        again.step({"agent_0": 0})


def test_names_are_those_of_teams() -> None:
    assert agon.parallel_env("SimpleTag-v3").possible_agents[0].startswith("adversary")


def test_a_game_is_won_and_lost() -> None:
    env = agon.aec_env("ConnectFour-v0")
    env.reset()
    for column in (3, 2, 3, 2, 3, 2):
        env.step(column)
    observation = env.observe("player_0")["observation"]
    assert observation[5, 3].tolist() == [255, 0] and observation[5, 2].tolist() == [0, 255]
    other = env.observe("player_1")
    assert other["observation"][5, 3].tolist() == [0, 255] and not other["action_mask"].any()
    env.step(3)
    assert env.rewards == {"player_0": 1.0, "player_1": -1.0}
    assert all(env.terminations.values())


def test_an_illegal_move_ends_the_game() -> None:
    env = agon.aec_env("TicTacToe-v0")
    env.reset()
    env.step(4)
    env.step(4)
    assert env.rewards == {"player_0": 0.0, "player_1": -1.0}
    assert all(env.terminations.values())


def test_the_wrong_door_names_the_right_one() -> None:
    with pytest.raises(ValueError, match="agon.make"):
        agon.parallel_env("CartPole-v1")
    with pytest.raises(ValueError, match="agon.make"):
        agon.aec_env("CartPole-v1")
