"""One environment as a `gymnasium.Env`."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Sequence
from typing import Any

import gymnasium

from agon import _agon, infos
from agon.registration import agon_id, gymnasium_id
from agon.rendering import Rendered, check_render_mode, render, render_modes
from agon.spaces import row, space_of
from agon.vector import Wrapper, check_one_agent


class AgonEnv(gymnasium.Env[Any, Any]):
    """One environment, stepped in Rust. Many are faster together: `agon.make_vec`."""

    def __init__(
        self,
        id: str,
        *,
        wrappers: Sequence[Wrapper] = (),
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        **arguments: Any,
    ) -> None:
        id = agon_id(id)
        self._core = _agon.Vector(
            id,
            1,
            num_threads=1,
            autoreset="Disabled",
            arguments=arguments,
            wrappers=list(wrappers),
            max_episode_steps=max_episode_steps,
            copy=True,
            statistics=False,
        )
        told = self._core.describe()
        check_one_agent(id, told)
        check_render_mode(id, render_mode)
        self.id = id
        self.render_mode = render_mode
        self.metadata = {"render_modes": list(render_modes(id)), "render_fps": 30}
        self.observation_space = space_of(told["observation_space"])
        self.action_space = space_of(told["action_space"])
        self._told = infos.told_by(id, arguments)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode with the random stream of `seed`; without one the stream goes on, and at first begins anywhere."""
        if options:
            raise ValueError(f"{self.id} takes no options in a reset, got {options!r}")
        super().reset(seed=seed)
        if seed is None and not self._core.started:
            seed = secrets.randbits(63)
        observations, mask = self._core.reset([seed])
        observation = row(self.observation_space, observations, 0)
        return observation, self._info(observation, mask, True)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Takes one step."""
        observations, rewards, terminated, truncated, mask, *_ = self._core.step([action])
        observation = row(self.observation_space, observations, 0)
        info = self._info(observation, mask, False)
        return observation, float(rewards[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> Rendered:
        """What `render_mode` says."""
        return render(self._core, 0, self.render_mode)

    def _info(self, observation: Any, mask: Any, is_reset: bool) -> dict[str, Any]:
        info: dict[str, Any] = {} if mask is None else {"action_mask": mask[0]}
        return info if self._told is None else info | self._told.single(observation, is_reset)


def make(id: str, **options: Any) -> AgonEnv:
    """One environment; the keywords are those of `agon.make_vec` that make sense for one."""
    env = AgonEnv(id, **options)
    spec = gymnasium.registry.get(gymnasium_id(env.id))
    if spec is not None:
        env.spec = copy.deepcopy(spec)
        env.spec.kwargs |= options
        if options.get("max_episode_steps") is not None:
            steps = env.spec.kwargs.pop("max_episode_steps")
            env.spec.max_episode_steps = None if steps == -1 else steps
    return env


def made_for_gymnasium(agon_id: str, **options: Any) -> AgonEnv:
    """What `gymnasium.make` calls, which counts the steps of an episode itself."""
    return AgonEnv(agon_id, **{"max_episode_steps": -1, **options})


# Gymnasium looks here for what it may wrap to show a window or to collect pictures.
setattr(made_for_gymnasium, "metadata", {"render_modes": ["rgb_array", "ansi"], "render_fps": 30})  # noqa: B010
