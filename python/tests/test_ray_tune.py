"""Trials of Ray Tune: exact checkpoints. Skipped where Ray Tune is not installed."""

from pathlib import Path

import pytest

import agon

ray = pytest.importorskip("ray")
pytest.importorskip("ray.tune")

from ray import tune  # noqa: E402
from ray.tune.utils import validate_save_restore  # noqa: E402

import agon.ray  # noqa: E402

FILES = ("metrics.csv", "episodes.csv", "model.safetensors")


def files(run: agon.Run) -> dict[str, bytes]:
    return {name: (run.path / name).read_bytes() for name in FILES}


@pytest.fixture
def local():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def config(**others) -> dict:
    return {
        "algorithm": "ppo",
        "env": "CartPole-v1",
        "seed": 2,
        "total_timesteps": 6_000,
        "steps_per_iteration": 1_000,
        **others,
    }


def test_trials_resume_exactly(local, tmp_path: Path) -> None:
    assert validate_save_restore(agon.ray.Trainable, config())
    first = agon.ray.Trainable(config())
    for _ in range(3):
        first.train()
    (tmp_path / "checkpoint").mkdir()
    first.save(str(tmp_path / "checkpoint"))
    second = agon.ray.Trainable(config())
    second.restore(str(tmp_path / "checkpoint"))
    while not (result := second.train())["done"]:
        pass
    whole = agon.train(
        "ppo", "CartPole-v1", seed=2, total_timesteps=6_000, out=tmp_path, name="whole", progress=False
    )
    assert files(agon.Run(second._path)) == files(whole)
    assert result["env_steps"] == whole.outcomes[2]["env_steps"]
    other = agon.ray.Trainable(config(**{"agent.learning_rate": 1e-4}))
    other.restore(str(tmp_path / "checkpoint"))
    assert 3_000 < other.train()["env_steps"] < 6_000, "other settings begin from the weights, and count on"


def test_tune_finds_the_better_setting(local, tmp_path: Path) -> None:
    space = config(
        **{"agent.learning_rate": tune.grid_search([1e-3, 1e-7])},
        total_timesteps=20_000,
        steps_per_iteration=10_000,
    )
    tuner = tune.Tuner(
        agon.ray.Trainable,
        param_space=space,
        run_config=tune.RunConfig(storage_path=str(tmp_path), name="search", verbose=0),
    )
    best = tuner.fit().get_best_result("mean_return", "max")
    assert best.config["agent.learning_rate"] == 1e-3 and best.metrics["env_steps"] >= 20_000


def test_changed_values_are_refused_where_trials_go_on(local, tmp_path: Path) -> None:
    space = config(**{"agent.learning_rate": tune.grid_search([1e-3, 1e-4])}, total_timesteps=2_000)
    tuner = tune.Tuner(
        agon.ray.Trainable,
        param_space=space,
        run_config=tune.RunConfig(storage_path=str(tmp_path), name="search", verbose=0),
    )
    tuner.fit()
    agon.ray.restore(tmp_path / "search", space)
    with pytest.raises(ValueError, match="expected seed = 2, which the trial began with, got 3"):
        agon.ray.restore(tmp_path / "search", {**space, "seed": 3})
    with pytest.raises(ValueError, match="expected agent.learning_rate = 0.0001"):
        agon.ray.restore(
            tmp_path / "search", {**space, "agent.learning_rate": tune.grid_search([1e-3, 1e-2])}
        )


def test_a_trial_of_other_settings_takes_the_steps_that_are_left(local, tmp_path: Path) -> None:
    first = agon.ray.Trainable(config())
    steps = [first.train()["env_steps"] for _ in range(3)][-1]
    first.save(str(tmp_path))
    other = agon.ray.Trainable(config(**{"agent.learning_rate": 1e-4}))
    other.restore(str(tmp_path))
    results = [other.train()]
    while not results[-1]["done"]:
        results.append(other.train())
    assert results[0]["env_steps"] > steps and 6_000 <= results[-1]["env_steps"] < 8_000
    other.save(str(tmp_path / "other"))
    again = agon.ray.Trainable(config(**{"agent.learning_rate": 1e-4}))
    again.restore(str(tmp_path / "other"))
    assert files(agon.Run(again._path)) == files(agon.Run(other._path)), "its own checkpoints go on exactly"
