"""PettingZoo's own checks over every environment of several agents and every board, and what its API does not check."""

import pickle

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
    assert BOARDS == ["ConnectFour-v0", "Go-v0", "Gomoku-v0", "Hex-v0", "Othello-v0", "TicTacToe-v0"]
    assert not set(ARENAS) & set(BOARDS)


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
    own, other = env.observe("player_0"), env.observe("player_1")
    assert own["observation"][5, 2:4].tolist() == [[0, 255, 255], [255, 0, 255]]
    assert other["observation"][5, 2:4].tolist() == [[255, 0, 0], [0, 255, 0]]
    assert own["action_mask"].all() and not other["action_mask"].any()
    env.step(3)
    assert env.rewards == {"player_0": 1.0, "player_1": -1.0}
    assert all(env.terminations.values())
    assert not any(env.observe(agent)["action_mask"].any() for agent in env.possible_agents)


@pytest.mark.parametrize("id", BOARDS)
def test_players_move_in_turn_and_see_the_same_board(id: str) -> None:
    env, rng = agon.aec_env(id), np.random.default_rng(3)
    env.reset()
    mover, waits = env.possible_agents
    while not any(env.terminations.values()):
        assert env.agent_selection == mover
        own, other = env.observe(mover), env.observe(waits)
        planes, seen = own["observation"], other["observation"]
        np.testing.assert_array_equal(planes[..., :2], seen[..., 1::-1])
        assert (planes[..., 2] == 255).all() and not seen[..., 2].any()
        assert own["action_mask"].any() and not other["action_mask"].any()
        assert env.rewards == dict.fromkeys(env.agents, 0.0)
        env.step(rng.choice(np.flatnonzero(own["action_mask"])))
        mover, waits = waits, mover
    # The last move never loses a game of these but Othello and Go, where the board is counted.
    assert env.rewards[mover] == -env.rewards[waits]
    assert id in ("Go-v0", "Othello-v0") or env.rewards[waits] >= 0.0


def test_a_board_takes_the_arguments_of_its_game() -> None:
    env = agon.aec_env("Go-v0", size=5, komi=0.5)
    assert env.observation_space("player_0")["observation"].shape == (5, 5, 5)
    env.reset()
    for _ in range(2):
        env.step(25)
    # Nobody has a point of the empty board but white, who has half of one.
    assert env.rewards == {"player_0": -1.0, "player_1": 1.0}
    assert env.observe("player_0")["observation"][0, 0].tolist() == [0, 0, 255, 255, 255]
    assert env.observe("player_1")["observation"][0, 0].tolist() == [0, 0, 0, 0, 255]
    assert agon.aec_env("Hex-v0", size=4, swap=False).action_space("player_0").n == 16
    again = pickle.loads(pickle.dumps(agon.pettingzoo.AgonBoard("Othello-v0", size=6)))
    assert again.observation_space("player_1")["observation"].shape == (6, 6, 3)
    with pytest.raises(ValueError, match="size"):
        agon.aec_env("Go-v0", size=1)
    with pytest.raises(ValueError, match="size"):
        agon.aec_env("TicTacToe-v0", size=4)
    for opponent in ("random", "self"):
        with pytest.raises(ValueError, match="Go-v0 takes no opponent here.*agon.make"):
            agon.aec_env("Go-v0", opponent=opponent)


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
    with pytest.raises(ValueError, match="agon.aec_env for a board"):
        agon.parallel_env("ConnectFour-v0")
    with pytest.raises(ValueError, match="ConnectFour-v0 has 2 agents that move in turn: use agon.aec_env"):
        agon.parallel_env("ConnectFour-v0", opponent="self")
    for made in (agon.make, agon.make_vec):
        with pytest.raises(ValueError, match="ConnectFour-v0 has 2 agents: use agon.aec_env"):
            made("ConnectFour-v0", opponent="self")
