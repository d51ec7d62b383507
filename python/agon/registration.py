"""Ids: Agon's own, and the ones under which Gymnasium finds its environments."""

from __future__ import annotations

from functools import cache

import gymnasium

from agon import _agon

NAMESPACE = "agon"


def gymnasium_id(id: str) -> str:
    """The id in Gymnasium's registry: `MinAtar/Breakout-v0` is `agon/MinAtar-Breakout-v0` there."""
    return f"{NAMESPACE}/{id.replace('/', '-')}"


@cache
def _by_gymnasium_id() -> dict[str, str]:
    return {gymnasium_id(id): id for id in _agon.environments()}


def agon_id(id: str) -> str:
    """Agon's id of an environment that is called by either; an unknown one stays what it is."""
    return _by_gymnasium_id().get(id, id)


def register() -> None:
    """Makes environments known to `gymnasium.make` and `gymnasium.make_vec`, all but those of several agents."""
    for id in _agon.environments():
        told = _agon.environment(id)
        if told["num_agents"] > 1 or gymnasium_id(id) in gymnasium.registry:
            continue
        gymnasium.register(
            gymnasium_id(id),
            entry_point="agon.single:made_for_gymnasium",
            vector_entry_point="agon.vector:made_for_gymnasium",
            max_episode_steps=told["max_episode_steps"],
            reward_threshold=told["reward_threshold"],
            kwargs={"agon_id": id},
        )
