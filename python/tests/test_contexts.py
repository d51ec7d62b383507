"""Physics as arguments: the trajectories are Gymnasium's with the same values set."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import agon

# The id, our arguments, and the attributes that Gymnasium's environment has for them.
CASES: list[tuple[str, dict[str, float], dict[str, float]]] = [
    (
        "CartPole-v1",
        {"gravity": 12.0, "cart_mass": 1.5, "pole_mass": 0.3, "length": 0.8, "force": 7.0},
        {
            "gravity": 12.0,
            "masscart": 1.5,
            "masspole": 0.3,
            "length": 0.8,
            "force_mag": 7.0,
            "total_mass": 0.3 + 1.5,
            "polemass_length": 0.3 * 0.8,
        },
    ),
    ("Pendulum-v1", {"g": 7.0, "mass": 1.7, "length": 0.6}, {"g": 7.0, "m": 1.7, "l": 0.6}),
    ("MountainCar-v0", {"force": 0.0013, "gravity": 0.002}, {"force": 0.0013, "gravity": 0.002}),
    (
        "Acrobot-v1",
        {"length_1": 1.3, "mass_1": 0.8, "mass_2": 1.2},
        {"LINK_LENGTH_1": 1.3, "LINK_MASS_1": 0.8, "LINK_MASS_2": 1.2},
    ),
]


@pytest.mark.parametrize(("id", "ours", "theirs"), CASES, ids=[case[0] for case in CASES])
def test_other_physics_give_the_references_trajectories(
    id: str, ours: dict[str, float], theirs: dict[str, float]
) -> None:
    env = agon.make(id, **ours)
    reference = gymnasium.make(id)
    for name, value in theirs.items():
        assert hasattr(reference.unwrapped, name)
        setattr(reference.unwrapped, name, value)
    reference.action_space.seed(5)
    assert moves_alike(env, reference, episodes=5, steps=60)
    # The standard environment is another one.
    assert not moves_alike(agon.make(id), reference, episodes=1, steps=60)


def moves_alike(env: Any, reference: Any, episodes: int, steps: int) -> bool:
    """Whether both show the same for the same actions."""
    for seed in range(episodes):
        seen, expected = env.reset(seed=seed)[0], reference.reset(seed=seed)[0]
        for _ in range(steps):
            if not np.allclose(seen, expected, atol=1e-4):
                return False
            action = reference.action_space.sample()
            seen, *ours, _ = env.step(action)
            expected, *theirs, _ = reference.step(action)
            if ours[1] != theirs[1] or not np.isclose(float(ours[0]), float(theirs[0]), atol=1e-4):
                return False
            if ours[1]:
                break
    return True
