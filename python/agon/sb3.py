"""Agon's vectors as Stable-Baselines3's `VecEnv`; needs the package `stable-baselines3`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env.base_vec_env import VecEnv as Base

from agon.vector import AgonVectorEnv, make_vec


class VecEnv(Base):
    """A vector of Agon's environments that Stable-Baselines3's algorithms train on.

    Episodes' returns and lengths are in the infos (`episode`), so that no `VecMonitor` is needed; last observations are
    `terminal_observation`, and time limits `TimeLimit.truncated`. Action masks, for `MaskablePPO`, are `action_masks()`.
    """

    def __init__(self, id: str, num_envs: int = 1, **options: Any) -> None:
        made = options | {"autoreset_mode": AutoresetMode.SAME_STEP, "episode_statistics": True}
        self.envs: AgonVectorEnv = make_vec(id, num_envs, **made)
        self.render_mode = self.envs.render_mode
        super().__init__(num_envs, self.envs.single_observation_space, self.envs.single_action_space)
        self._actions: Any = None
        self._masks: Any = None

    def reset(self) -> Any:
        """Starts an episode in each environment, with the random streams that `seed` asked for."""
        seeds = list(self._seeds)
        observations, infos = self.envs.reset(seed=seeds if any(seed is not None for seed in seeds) else None)
        self._reset_seeds()
        self._masks = infos.get("action_mask")
        return observations

    def step_async(self, actions: Any) -> None:
        """Takes the actions of the next step."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, Any, Any, list[dict[str, Any]]]:
        """Takes the step."""
        observations, rewards, terminated, truncated, told = self.envs.step(self._actions)
        self._masks = told.get("action_mask")
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if "final_obs" in told:
            episode = told["episode"]
            for env in np.flatnonzero(told["_final_obs"]).tolist():
                infos[env] = {
                    "terminal_observation": told["final_obs"][env],
                    "TimeLimit.truncated": bool(truncated[env] and not terminated[env]),
                    "episode": {"r": float(episode["r"][env]), "l": int(episode["l"][env]), "t": 0.0},
                }
        return observations, rewards.astype(np.float32), terminated | truncated, infos

    def action_masks(self) -> Any:
        """What may be done next, `[num_envs, A]`; `None` where nothing is illegal."""
        return None if self._masks is None else self._masks.astype(np.bool_)

    def get_images(self) -> Sequence[Any]:
        """A picture of each environment."""
        return list(self.envs.render())

    def close(self) -> None:
        """Closes the vector."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the vector, for each environment asked for."""
        value = self._masks_of if attr_name == "action_masks" else getattr(self.envs, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute of the vector, which its environments share."""
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **options: Any) -> list[Any]:
        """Calls `action_masks`, the one method that Stable-Baselines3's family asks environments for."""
        if method_name != "action_masks" or self._masks is None:
            raise AttributeError(f"environments of Agon have no method {method_name}")
        return [self._masks_of(env) for env in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Episodes are monitored already; nothing else is wrapped."""
        monitored = wrapper_class.__name__ == "Monitor"
        return [monitored for _ in self._get_indices(indices)]

    def _masks_of(self, env: int) -> Any:
        return self._masks[env].astype(np.bool_)
