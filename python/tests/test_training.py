"""Runs from Python: the same bits as anywhere, callbacks, Ctrl-C, and what comes out."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import agon

SMALL = {"total_timesteps": 6_000, "progress": False}


def files(run: agon.Run) -> dict[str, bytes]:
    return {name: (run.path / name).read_bytes() for name in ("metrics.csv", "episodes.csv", "model.safetensors")}


def train(out: Path, name: str = "run", **options) -> agon.TrainedRun:
    return agon.train("ppo", "CartPole-v1", out=out, name=name, **{**SMALL, "seed": 3, **options})


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads(tmp_path: Path) -> None:
    assert files(train(tmp_path, "one", threads=1)) == files(train(tmp_path, "two", threads=2))
    assert files(train(tmp_path, "other", seed=4)) != files(train(tmp_path, "again", seed=5))


def test_a_run_that_was_stopped_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    whole = train(tmp_path, "whole")
    stopped = train(tmp_path, "stopped", callback=lambda progress: progress.env_steps < 2_000)
    assert whole.finished and not stopped.finished
    assert 2_000 <= stopped.outcomes[3]["env_steps"] < 4_000
    assert agon.resume(stopped, progress=False).finished
    assert files(stopped) == files(whole)


def test_callbacks_see_every_iteration_and_all_episodes(tmp_path: Path) -> None:
    seen: list[agon.Progress] = []
    run = train(tmp_path, callback=seen.append)
    assert [progress.env_steps for progress in seen] == list(run.metrics["global_step"])
    returns = np.concatenate([progress.episodes["returns"] for progress in seen])
    np.testing.assert_array_equal(returns, run.episodes["episodic_return"])
    assert seen[-1].mean_return == run.outcomes[3]["mean_return"]
    assert "losses/policy_loss" in seen[0].metrics and seen[0].total_timesteps == 6_000


def test_an_exception_of_a_callback_stops_at_a_checkpoint_and_is_raised(tmp_path: Path) -> None:
    def fails(progress: agon.Progress) -> None:
        if progress.env_steps >= 2_000:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        train(tmp_path, "fails", callback=fails)
    assert agon.resume(tmp_path / "fails", progress=False).finished
    assert files(agon.Run(tmp_path / "fails")) == files(train(tmp_path, "whole"))


def test_ctrl_c_ends_an_evaluation(tmp_path: Path) -> None:
    run = train(tmp_path)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            agon.evaluate(run, episodes=1_000_000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_stops_at_a_checkpoint(tmp_path: Path) -> None:
    code = "import agon, sys; agon.train('ppo', 'CartPole-v1', total_timesteps='200M', out=sys.argv[1], name='long')"
    code = code.replace("'200M'", "200_000_000")
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "long" / "episodes.csv"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size > 1_000):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode != 0 and "KeyboardInterrupt" in stderr
    run = agon.Run(tmp_path / "long")
    steps = run.episodes["global_step"][-1]
    going_on = agon.resume(run, callback=lambda progress: False, progress=False)
    assert not going_on.finished and going_on.outcomes[1]["env_steps"] >= steps


def test_settings_lie_over_the_preset_and_wrong_ones_are_named(tmp_path: Path) -> None:
    settings = {"agent.num_steps": np.int64(16), "network": {"encoder": {"kind": "mlp", "hidden": [8]}}, "num_envs": 4}
    config = train(tmp_path, settings=settings, total_timesteps=256).config
    assert config["agent"]["num_steps"] == 16 and config["num_envs"] == 4
    assert config["network"]["encoder"]["hidden"] == [8]
    assert config["made_by"]["preset"] == "ppo-cartpole"
    for wrong, said in [
        ({"agent.num_step": 1}, "agent.num_step: unknown field"),
        ({"agent": {"gamma": 2.0}}, "gamma must be between 0 and 1, got 2"),
        ({"agent": {"gamma": object()}}, "gamma"),
        ({"num_envs": "many"}, "num_envs"),
    ]:
        with pytest.raises(ValueError, match=said):
            train(tmp_path, "wrong", settings=wrong)
    assert not (tmp_path / "wrong").exists()
    with pytest.raises(ValueError, match="did you mean"):
        agon.train("ppo", "CartPole-v7", out=tmp_path, **SMALL)
    with pytest.raises(ValueError, match="unknown algorithm"):
        agon.train("ppoo", "CartPole-v1", out=tmp_path, **SMALL)


def test_none_switches_off_what_a_preset_has_on(tmp_path: Path) -> None:
    settings = {"agent": {"target_kl": 0.01}}
    assert train(tmp_path, "on", settings=settings, total_timesteps=256).config["agent"]["target_kl"] == 0.01
    for off in ({"agent.target_kl": None}, {"agent": {"target_kl": None}}):
        config = train(tmp_path, "off", settings=off, total_timesteps=256, force=True).config
        assert config["agent"]["target_kl"] == "none"


def test_a_taken_directory_is_refused_and_force_replaces(tmp_path: Path) -> None:
    first = files(train(tmp_path, seed=1))
    with pytest.raises(agon.AgonError, match="agon resume|holds a run"):
        train(tmp_path, seed=2)
    assert files(agon.Run(tmp_path / "run")) == first
    assert files(train(tmp_path, seed=2, force=True)) != first


def test_seeds_are_one_experiment(tmp_path: Path) -> None:
    experiment = train(tmp_path, seeds=2, total_timesteps=3_000)
    assert list(experiment.seeds) == [3, 4] and experiment.finished
    assert set(experiment.metrics["seed"]) == {3, 4}
    alone = train(tmp_path, "alone", seed=4, total_timesteps=3_000)
    assert files(experiment.seeds[4]) == files(alone)
    picture = agon.plot({"both": experiment, "one": alone}, tmp_path / "curve.png", smooth=3)
    assert picture.svg.startswith("<svg") and (tmp_path / "curve.png").stat().st_size > 1_000
    compared = agon.compare({"both": experiment, "one": alone})
    assert [algorithm["runs"] for algorithm in compared["algorithms"]] == [2, 1]
    with pytest.raises(ValueError, match="a policy a seed"):
        experiment.policy()


def test_an_extended_run_goes_on(tmp_path: Path) -> None:
    run = train(tmp_path, total_timesteps=2_000)
    assert agon.resume(run, total_timesteps=3_000, progress=False).outcomes[3]["env_steps"] >= 3_000


def test_evaluations_are_repeatable_and_columns_become_frames(tmp_path: Path) -> None:
    run = train(tmp_path)
    evaluation = run.evaluate(episodes=7)
    again = run.evaluate(episodes=7)
    assert evaluation == again and evaluation.returns.tolist() == again.returns.tolist()
    assert len(evaluation.returns) == 7 and evaluation.mean_return == evaluation.returns.mean()
    assert evaluation.returns.tolist() != run.evaluate(episodes=7, seed=99).returns.tolist()
    pandas = pytest.importorskip("pandas")
    frame = run.metrics.frame()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == run.metrics.num_rows


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises((agon.AgonError, OSError), match="nothing"):
        agon.Run(tmp_path / "nothing")
    with pytest.raises((agon.AgonError, OSError), match="nothing"):
        agon.load(tmp_path / "nothing")
    with pytest.raises(ValueError, match="x must be one of steps, seconds, updates"):
        agon.plot(tmp_path, x="time")


def test_callbacks_answer_with_truth_values(tmp_path: Path) -> None:
    options = {"total_timesteps": 4_096, "out": tmp_path, "progress": False}
    run = agon.train("ppo", "CartPole-v1", callback=lambda progress: np.mean([1.0, 2.0]) > 5.0, **options)
    assert not run.finished
    with pytest.raises(TypeError, match="a callback answers True, None or, to stop, False; got 0"):
        agon.train("ppo", "CartPole-v1", callback=lambda progress: 0, **options)


def test_settings_that_contradict_arguments_are_refused(tmp_path: Path) -> None:
    options = {"out": tmp_path, "progress": False, "total_timesteps": 1_000, "seed": 1}
    for settings in (
        {"env.id": "Acrobot-v1"},
        {"env": {"id": "Acrobot-v1"}},
        {"algorithm": "dqn"},
        {"seed": 3},
        {"total_timesteps": 600},
    ):
        with pytest.raises(ValueError, match="must be left out or be the argument's"):
            agon.train("ppo", "CartPole-v1", settings=settings, **options)
    assert agon.train("ppo", "CartPole-v1", settings={"seed": 1}, **options).finished


def test_force_removes_runs_and_nothing_else(tmp_path: Path) -> None:
    options = {"out": tmp_path, "progress": False, "total_timesteps": 1_000}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    for force in (False, True):
        with pytest.raises(agon.AgonError, match="thesis.txt"):
            agon.train("ppo", "CartPole-v1", name="mine", force=force, **options)
    run = agon.train("ppo", "CartPole-v1", name="run", **options)
    with pytest.raises((agon.AgonError, ValueError, OSError)):
        agon.train("ppo", "CartPole-v1", name="run", force=True, settings={"init_from": "nowhere"}, **options)
    assert run.policy() is not None
    assert agon.train("ppo", "CartPole-v1", name="run", force=True, **options).finished


def test_evaluations_of_an_experiment_name_its_seeds(tmp_path: Path) -> None:
    two = agon.train("ppo", "CartPole-v1", total_timesteps=1_000, seeds=2, out=tmp_path, progress=False)
    for evaluated in (two.evaluate, lambda: agon.evaluate(two.path)):
        with pytest.raises(ValueError, match=r"choose one of `seeds` \(1, 2\)"):
            evaluated()
    assert two.seeds[1].evaluate(2).episodes == 2


def test_wrappers_may_be_their_kinds_alone(tmp_path: Path) -> None:
    run = agon.train(
        "ppo", "CartPole-v1", settings={"env.wrappers": ["normalize_observation"]}, total_timesteps=1_000, out=tmp_path, progress=False
    )
    assert [wrapper["kind"] for wrapper in run.config["env"]["wrappers"]] == ["normalize_observation"]
    assert repr(run.metrics).startswith("Columns(") and "global_step" in repr(run.metrics) and len(repr(run.metrics)) < 1_000
