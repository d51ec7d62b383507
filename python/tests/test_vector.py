"""What a vector promises beside Gymnasium's: threads that do not show, arrays of one's own, errors that lose nothing."""

import os
import subprocess
import sys
import threading

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import agon


def trajectory(env: agon.AgonVectorEnv, steps: int = 400) -> list[np.ndarray]:
    env.action_space.seed(1)
    arrays = [env.reset(seed=9)[0]]
    for _ in range(steps):
        arrays.extend(env.step(env.action_space.sample())[:4])
    return arrays


def assert_all_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("id", ["CartPole-v1", "MinAtar/Breakout-v0", "Pendulum-v1", "FrozenLake-v1"])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_the_number_of_threads_does_not_show(id: str, mode: str) -> None:
    one, *others = [
        trajectory(agon.make_vec(id, 10, num_threads=threads, autoreset_mode=mode))
        for threads in (1, 2, 3, 16)
    ]
    for other in others:
        assert_all_equal(other, one)


def test_final_observations_come_from_every_thread() -> None:
    vectors = [
        agon.make_vec("CartPole-v1", 7, num_threads=n, autoreset_mode="SameStep", episode_statistics=True)
        for n in (1, 3)
    ]
    for env in vectors:
        env.reset(seed=3)
    vectors[0].action_space.seed(0)
    ends = 0
    for _ in range(300):
        actions = vectors[0].action_space.sample()
        one, three = (env.step(actions)[4] for env in vectors)
        assert one.keys() == three.keys()
        if "final_obs" in one:
            ends += 1
            for a, b in zip(one["final_obs"], three["final_obs"], strict=True):
                np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(one["episode"]["r"], three["episode"]["r"])
    assert ends > 10


@pytest.mark.parametrize("id", ["CartPole-v1", "MinAtar/Breakout-v0", "MiniGrid-Empty-5x5-v0"])
def test_arrays_of_earlier_steps_keep_their_values(id: str) -> None:
    env = agon.make_vec(id, 4)
    arrays, copies = [], []
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(50):
        observations = env.step(env.action_space.sample())[0]
        for array in observations.values() if isinstance(observations, dict) else [observations]:
            assert array.flags.writeable
            arrays.append(array)
            copies.append(array.copy())
    assert_all_equal(arrays, copies)


def test_without_copies_the_arrays_are_the_same_and_their_values_the_next_ones() -> None:
    copied, views = (agon.make_vec("CartPole-v1", 4, copy=copy) for copy in (True, False))
    first = views.reset(seed=0)[0]
    copied.reset(seed=0)
    for _ in range(20):
        actions = copied.action_space.sample()
        expected, found = copied.step(actions)[0], views.step(actions)[0]
        assert np.shares_memory(found, first)
        np.testing.assert_array_equal(found, expected)


def test_dlpack_shares_memory_that_nothing_writes_again() -> None:
    env = agon.make_vec("MinAtar/Breakout-v0", 64)
    observations = env.reset(seed=0)[0]
    shared = np.from_dlpack(observations)
    assert np.shares_memory(shared, observations)
    kept = shared.copy()
    for _ in range(10):
        env.step(env.action_space.sample())
    np.testing.assert_array_equal(shared, kept)


def test_a_vector_in_use_by_another_thread_is_refused_and_goes_on() -> None:
    env = agon.make_vec("LunarLander-v3", 256)
    env.reset(seed=0)
    actions = np.zeros(256, dtype=np.int64)
    refusals, steps = [], [0, 0]

    def work(me: int) -> None:
        for _ in range(60):
            try:
                env.step(actions)
                steps[me] += 1
            except agon.AgonError as error:
                refusals.append(str(error))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(steps) + len(refusals) == 120
    assert all("in use by another thread" in refusal for refusal in refusals)
    # What was done is what the steps alone do.
    alone = agon.make_vec("LunarLander-v3", 256)
    alone.reset(seed=0)
    for _ in range(sum(steps)):
        alone.step(actions)
    np.testing.assert_array_equal(env.step(actions)[0], alone.step(actions)[0])


@pytest.mark.parametrize("num_threads", [1, 3])
def test_a_wrong_action_steps_nothing(num_threads: int) -> None:
    env, other = (agon.make_vec("CartPole-v1", 6, num_threads=num_threads) for _ in range(2))
    env.reset(seed=0)
    other.reset(seed=0)
    for wrong, message in [
        ([0, 0, 0, 0, 0, 2], "row 5 is not in Discrete.2.: got 2"),
        ([0, -1, 0, 0, 0, 0], "row 1 is not in Discrete.2.: got -1"),
        ([0, 1 << 40, 0, 0, 0, 0], "row 1"),
        ([0] * 5, "expected 6 numbers"),
        ([0.5] * 6, "float64"),
        ("left", "expected 6 numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            env.step(wrong)
    actions = [0, 1, 0, 1, 0, 1]
    for array in (actions, np.array(actions, dtype=np.uint8), np.array(actions * 2, dtype=np.int64)[::2] % 2):
        expected = other.step(np.asarray(array, dtype=np.int64))
        assert_all_equal(list(env.step(array)[:4]), list(expected[:4]))


def test_a_masked_action_is_a_value_error() -> None:
    env = agon.make_vec("TicTacToe-v0", 2)
    _, info = env.reset(seed=0)
    assert info["action_mask"].dtype == np.int8 and info["_action_mask"].all()
    # With this seed the environment begins in row 0, on square 5, and the agent in row 1.
    assert info["action_mask"].tolist() == [[1, 1, 1, 1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1, 1]]
    observations, _, _, _, info = env.step([4, 3])
    # The answers are on squares 3 and 5.
    assert info["action_mask"].tolist() == [[1, 1, 1, 0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 1, 0, 1, 1, 1]]
    own, other = (observations[..., plane].reshape(2, 9) for plane in (0, 1))
    assert own.argmax(axis=1).tolist() == [4, 3]
    np.testing.assert_array_equal(info["action_mask"], (own == 0) & (other == 0))
    assert env.single_action_space.sample(info["action_mask"][0]) not in (3, 4, 5)
    for taken in (3, 5):
        with pytest.raises(ValueError, match=f"action {taken} of row 1, branch 0, is not legal now"):
            env.step([0, taken])
    # Nothing has been stepped: square 0 is still free.
    env.step([0, 0])


def test_settings_out_of_range_are_value_errors() -> None:
    for id, options, message in [
        ("CartPool-v1", {}, "unknown environment `CartPool-v1`.*CartPole-v1"),
        ("CartPole-v1", {"num_envs": 0}, "num_envs must be at least 1, got 0"),
        ("CartPole-v1", {"num_threads": 0}, "num_threads must be at least 1, got 0"),
        ("CartPole-v1", {"wind": 3}, "wind"),
        ("CartPole-v1", {"wrappers": ["frame_stock"]}, "frame_stock"),
        ("CartPole-v1", {"wrappers": [{"kind": "frame_stack", "depth": 2}]}, "depth"),
        ("CartPole-v1", {"max_episode_steps": 0}, "max_episode_steps"),
        ("CartPole-v1", {"autoreset_mode": "Sometimes"}, "Sometimes"),
        ("CartPole-v1", {"render_mode": "human"}, "render_mode"),
        ("Foraging-8x8-2p-2f-v3", {}, "2 agents: use agon.parallel_env"),
        ("TicTacToe-v0", {"opponent": "self"}, "2 agents: use agon.aec_env"),
        (
            "CartPole-v1",
            {"wrappers": ["normalize_observation"], "num_envs": 4, "num_threads": 2},
            "num_threads",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            agon.make_vec(id, **options)


def test_more_environments_than_memory_are_refused() -> None:
    for num_threads in (1, 2):
        with pytest.raises(agon.AgonError, match=r"TiB of memory are needed.*environments \(num_envs\)"):
            agon.make_vec("CartPole-v1", 2**31 - 1, num_threads=num_threads)


def test_seeds_out_of_range_are_value_errors() -> None:
    env = agon.make_vec("CartPole-v1", 2)
    for seed, message in [
        (-1, "got -1"),
        ([0.5, 1], "got 0.5"),
        ([1], "must be a number or 2 of them, got 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            env.reset(seed=seed)


def test_calls_out_of_order_are_refused() -> None:
    env = agon.make_vec("CartPole-v1", 2, autoreset_mode="Disabled")
    with pytest.raises(agon.AgonError, match="stepped before its first reset"):
        env.step([0, 0])
    with pytest.raises(agon.AgonError, match="first reset must be of all"):
        env.reset(options={"reset_mask": np.array([True, False])})
    env.reset(seed=0)
    while not env.step([0, 1])[2].any():
        pass
    with pytest.raises(agon.AgonError, match="after its episode ended"):
        env.step([0, 1])


def test_a_reset_mask_resets_what_it_chooses_alone() -> None:
    env = agon.make_vec("CartPole-v1", 4, num_threads=2, autoreset_mode="Disabled")
    env.reset(seed=0)
    before = env.step([0, 1, 0, 1])[0]
    options = {"reset_mask": np.array([False, True, False, True])}
    after = env.reset(options=options)[0]
    assert "reset_mask" in options
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert (after[[1, 3]] != before[[1, 3]]).all()
    assert (np.abs(after[[1, 3]]) <= 0.05).all()
    for wrong, error in [
        ([True] * 4, TypeError),
        (np.ones(3, bool), ValueError),
        (np.zeros(4, bool), ValueError),
    ]:
        with pytest.raises(error, match="reset_mask"):
            env.reset(options={"reset_mask": wrong})


@pytest.mark.parametrize("id", ["CartPole-v1", "MinAtar/Breakout-v0", "MiniGrid-DoorKey-5x5-v0"])
def test_seeds_of_single_environments_are_those_of_all(id: str) -> None:
    whole, parts = (
        agon.make_vec(id, 3, autoreset_mode="SameStep", wrappers=["sticky_action"]) for _ in range(2)
    )
    whole.reset(seed=[5, 6, 7])
    parts.reset(seed=[1, 6, 2])
    for seed, mask in [([5, None, None], [True, False, False]), ([None, None, 7], [False, False, True])]:
        parts.reset(seed=seed, options={"reset_mask": np.array(mask)})
    whole.action_space.seed(0)
    for _ in range(100):
        actions = whole.action_space.sample()
        for found, expected in zip(parts.step(actions)[1:4], whole.step(actions)[1:4], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_without_a_seed_streams_go_on() -> None:
    env = agon.make_vec("CartPole-v1", 2)
    unseeded = [agon.make_vec("CartPole-v1", 2).reset()[0] for _ in range(2)]
    assert (unseeded[0] != unseeded[1]).all()
    first, second = env.reset(seed=4)[0], env.reset()[0]
    assert (first != second).all()
    np.testing.assert_array_equal(env.reset(seed=4)[0], first)
    np.testing.assert_array_equal(env.reset()[0], second)


OLD = gymnasium.__version__.startswith("1.3.")


@pytest.mark.parametrize(
    "mode",
    [
        "NextStep",
        pytest.param(
            "SameStep", marks=pytest.mark.skipif(OLD, reason="1.3 loses the first step of later episodes")
        ),
    ],
)
def test_statistics_are_those_of_gymnasiums_wrapper(mode: str) -> None:
    theirs = RecordEpisodeStatistics(agon.make_vec("CartPole-v1", 5, autoreset_mode=mode))
    ours = agon.make_vec("CartPole-v1", 5, autoreset_mode=mode, episode_statistics=True)
    theirs.reset(seed=1)
    ours.reset(seed=1)
    ours.action_space.seed(1)
    for _ in range(300):
        actions = ours.action_space.sample()
        found, expected = ours.step(actions)[4], theirs.step(actions)[4]
        assert ("episode" in found) == ("episode" in expected)
        if "episode" in found:
            over = found["_episode"]
            np.testing.assert_array_equal(over, expected["_episode"])
            for key in ("r", "l"):
                np.testing.assert_array_equal(found["episode"][key][over], expected["episode"][key][over])


def test_modes_belong_to_the_vector_and_not_to_its_class() -> None:
    same, next_step = (
        agon.make_vec("CartPole-v1", 2, autoreset_mode=mode) for mode in ("SameStep", "NextStep")
    )
    assert same.metadata["autoreset_mode"].value == "SameStep"
    assert next_step.metadata["autoreset_mode"].value == "NextStep"
    assert "autoreset_mode" not in gymnasium.vector.VectorEnv.metadata


def test_pictures_and_texts() -> None:
    env = agon.make_vec("FrozenLake-v1", 2, render_mode="rgb_array")
    env.reset(seed=0)
    frames = env.render()
    assert isinstance(frames, tuple) and len(frames) == 2
    assert frames[0].shape == (256, 256, 3) and frames[0].dtype == np.uint8
    text = agon.make("FrozenLake-v1", render_mode="ansi")
    text.reset(seed=0)
    assert text.render().startswith("@FFF")


def test_importing_takes_no_pettingzoo_or_torch() -> None:
    code = "import sys, agon; print([name for name in ('torch', 'pettingzoo', 'pandas', 'jax') if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_threads_that_a_fork_has_left_behind_are_not_waited_for() -> None:
    env = agon.make_vec("CartPole-v1", 8, num_threads=2)
    env.reset(seed=0)
    alone = agon.make_vec("CartPole-v1", 8)
    alone.reset(seed=0)
    actions = np.zeros(8, dtype=np.int64)
    child = os.fork()
    if child == 0:
        refused = False
        try:
            env.step(actions)
        except agon.AgonError as error:
            refused = "after a fork" in str(error)
        alone.step(actions)
        os._exit(0 if refused else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    env.step(actions)


def test_options_of_a_reset_that_nobody_reads_are_refused() -> None:
    with pytest.raises(ValueError, match="takes no options in a reset, got {'low': -0.5}"):
        agon.make("CartPole-v1").reset(seed=0, options={"low": -0.5})
    env = agon.make_vec("CartPole-v1", 2)
    with pytest.raises(ValueError, match="expected no options but reset_mask, got 'foo'"):
        env.reset(seed=0, options={"foo": 1})
    env.reset(seed=0, options={"reset_mask": np.ones(2, dtype=bool)})


def test_a_specification_has_the_time_limit_of_its_environment() -> None:
    env = agon.make("CartPole-v1", max_episode_steps=7)
    assert env.spec is not None and env.spec.max_episode_steps == 7
    assert gymnasium.make(env.spec).spec.max_episode_steps == 7
    unlimited = agon.make("CartPole-v1", max_episode_steps=-1)
    assert unlimited.spec is not None and unlimited.spec.max_episode_steps is None
    assert agon.make("CartPole-v1").spec.max_episode_steps == 500
