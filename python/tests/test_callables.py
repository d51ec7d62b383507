"""Environments that a callable of the caller makes."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import importable_envs
import numpy as np
import pytest
from gymnasium import spaces

import agon

SMALL = {"agent.num_steps": 16, "num_envs": 2}


def train(env, out: Path, **options) -> agon.TrainedRun:
    settings = SMALL | options.pop("settings", {})
    return agon.train("ppo", env, settings=settings, out=out, progress=False, total_timesteps=64, **options)


def in_another_process(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What a program prints that has trained nothing."""
    variables = {"PYTHONPATH": ":".join(sys.path), **variables}
    return subprocess.run([sys.executable, "-c", f"import agon\n{code}"], capture_output=True, text=True, env=variables)


def local_class(size: int) -> type[gym.Env]:
    class Local(importable_envs.Lever):
        """Only this function knows it."""

        def __init__(self) -> None:
            super().__init__(size)

    return Local


@pytest.mark.parametrize(
    ("env", "id"),
    [
        (lambda: importable_envs.Lever(3), "python:lambda"),
        (importable_envs.Lever, "python:importable_envs:Lever"),
        (importable_envs.make_lever, "python:make_lever"),
        (functools.partial(importable_envs.Lever, size=3), "python:Lever"),
        (local_class(3), "python:local_class.Local"),
    ],
    ids=["lambda", "class", "function", "partial", "local class"],
)
def test_any_callable_trains_evaluates_and_resumes(env, id: str, tmp_path: Path) -> None:
    run = train(env, tmp_path, name="run")
    assert run.finished and run.config["env"]["id"] == id and run.config["made_by"]["inexact"]
    assert 0.0 <= run.evaluate(episodes=3).mean_return <= 5.0
    assert agon.resume(run, total_timesteps=96, progress=False).finished
    action, _ = run.policy()(np.zeros(1, dtype=np.float32))
    assert action in (0, 1, 2)


def test_a_pickled_callable_is_loaded_elsewhere_only_if_it_is_trusted_or_handed_over(tmp_path: Path) -> None:
    run = train(lambda: importable_envs.Lever(3), tmp_path, name="run")
    evaluate, resume = f"agon.evaluate({str(run.path)!r}, 2", f"agon.resume({str(run.path)!r}, progress=False"
    silent = in_another_process(f"{evaluate})")
    assert silent.returncode != 0 and "trust=True" in silent.stderr, silent.stderr
    digest = re.search(r"AGON_TRUST=([0-9a-f]{64})", silent.stderr)
    assert digest
    for code, variables in [
        (f"{evaluate}, trust=True)", {}),
        (f"{evaluate})", {"AGON_TRUST": digest[1]}),
        (f"import importable_envs\n{evaluate}, env=lambda: importable_envs.Lever(3))", {}),
        (f"{resume}, total_timesteps=96, trust=True)", {}),
        (f"import importable_envs\n{resume}, total_timesteps=128, env=lambda: importable_envs.Lever(3))", {}),
    ]:
        done = in_another_process(code, **variables)
        assert done.returncode == 0, (code, done.stderr)
    with pytest.raises(agon.AgonError, match="hand it over again"):
        agon.evaluate(run.path / "model.safetensors", 2)
    assert agon.evaluate(run.path / "model.safetensors", 2, env=lambda: importable_envs.Lever(3)).episodes == 2


def test_a_class_that_can_be_imported_needs_no_trust(tmp_path: Path) -> None:
    run = train(importable_envs.Lever, tmp_path, name="run", settings={"env.args.size": 4})
    assert "pickle" not in run.config["env"]
    done = in_another_process(f"print(agon.evaluate({str(run.path)!r}, 2).episodes)")
    assert done.returncode == 0, done.stderr


def test_seeds_of_a_pickled_callable_are_one_experiment(tmp_path: Path) -> None:
    run = train(lambda: importable_envs.Lever(2), tmp_path, name="run", seeds=2)
    longer = agon.resume(run, total_timesteps=96, env=lambda: importable_envs.Lever(2), progress=False)
    assert sorted(longer.outcomes) == [1, 2] and longer.finished


def test_errors_of_a_callable_come_with_their_traceback(tmp_path: Path) -> None:
    def broken():
        raise RuntimeError("no lever here")

    with pytest.raises((agon.AgonError, ValueError), match="(?s)RuntimeError: no lever here.*in broken"):
        train(broken, tmp_path)
    with pytest.raises(agon.AgonError, match=r"(?s)row \d: ValueError: stuck.*in step"):
        train(lambda: importable_envs.Lever(fault="stuck"), tmp_path)
    with pytest.raises((agon.AgonError, ValueError), match="expected a gymnasium.Env of the callable, got builtins.int"):
        train(lambda: 7, tmp_path)
    shared = importable_envs.Lever()
    with pytest.raises((agon.AgonError, ValueError), match="expected a new environment of every call"):
        train(lambda: shared, tmp_path)


def test_what_is_no_callable_or_cannot_be_pickled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a callable that makes a new environment at each call"):
        train(importable_envs.Lever(), tmp_path)
    large = np.random.default_rng(0).bytes(1 << 20)
    with pytest.raises(ValueError, match="of at most 1048576 characters when pickled"):
        train(lambda: importable_envs.Lever(len(large)), tmp_path)
    lock = __import__("threading").Lock()
    with pytest.raises(ValueError, match="expected a callable that can be pickled"):
        train(lambda: importable_envs.Lever(bool(lock)), tmp_path)


class Parts(importable_envs.Lever):
    """Takes an action of two parts, of which one is masked."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.Dict({"turn": spaces.Discrete(3, start=-1), "aim": spaces.Box(2, 4, (2,), np.int16)})

    def action_masks(self):
        return {"turn": [0, 1, 1], "aim": np.array([1, 0, 0, 1, 1, 1])}

    def step(self, action):
        assert self.action_space.contains(action) and action["turn"] != -1 and action["aim"][0] == 2, action
        return super().step(action["turn"])


def test_a_policy_of_several_parts_answers_in_them_and_keeps_to_masks(tmp_path: Path) -> None:
    run = train(Parts, tmp_path, name="run")
    assert run.evaluate(episodes=4, stochastic=True).episodes == 4
    policy, mask = run.policy(), np.array([1, 0, 0, 1, 1, 1, 0, 1, 1])
    action, _ = policy(np.zeros(1, dtype=np.float32), action_mask=mask)
    assert list(action) == ["aim", "turn"] and action["aim"][0] == 0 and action["turn"] in (0, 1)
    actions, _ = policy(np.zeros((3, 1), dtype=np.float32), action_mask=np.tile(mask, (3, 1)))
    assert actions["aim"].shape == (3, 2) and actions["turn"].shape == (3,)


def test_what_a_run_goes_on_with_is_a_callable_and_the_run_is_of_one(tmp_path: Path) -> None:
    run = train("CartPole-v1", tmp_path, name="run")
    with pytest.raises(TypeError, match="expected a callable that makes a new environment"):
        agon.resume(run, total_timesteps=96, env="CartPole-v1", progress=False)
    with pytest.raises((ValueError, agon.AgonError), match="can be handed over, found CartPole-v1"):
        agon.resume(run, total_timesteps=96, env=importable_envs.Lever, progress=False)


def test_a_script_trains_in_classes_of_its_own_and_of_modules_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("from importable_envs import Lever\nclass Beside(Lever):\n    pass\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import agon, beside, sys\n"
        "class Mine(beside.Beside):\n    pass\n"
        f"options = dict(settings={SMALL}, out={str(tmp_path)!r}, total_timesteps=64, progress=False)\n"
        "for kind in (Mine, beside.Beside):\n"
        "    print(agon.train('ppo', kind, **options).config['env']['id'])\n"
    )
    variables = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=variables)
    assert done.stdout.split() == ["python:Mine", "python:beside:Beside"], done.stderr


def test_a_callable_that_another_version_of_python_pickled_is_refused_with_both(tmp_path: Path) -> None:
    run = train(lambda: importable_envs.Lever(), tmp_path, name="run")
    config = run.path / "config.toml"
    now = "{}.{}".format(*sys.version_info)
    config.write_text(config.read_text().replace(f'pickle = "{now}:', 'pickle = "2.7:'))
    with pytest.raises(agon.AgonError, match=rf"expected Python 2.7, which the callable was pickled by, got .* of {now}"):
        run.evaluate(episodes=2, trust=True)
    assert run.evaluate(episodes=2, env=lambda: importable_envs.Lever()).episodes == 2


def test_other_callables_are_no_seeds_of_the_same_experiment(tmp_path: Path) -> None:
    train(lambda: importable_envs.Lever(2), tmp_path, name="run", seeds=2)
    with pytest.raises(agon.AgonError, match="of other settings, wanted and found are env.pickle"):
        train(lambda: importable_envs.Lever(3), tmp_path, name="run", seeds=3)
