"""Many environments as a `gymnasium.vector.VectorEnv`."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from agon import _agon, infos
from agon.registration import agon_id
from agon.rendering import Rendered, check_render_mode, render, render_modes
from agon.spaces import space_of

Wrapper = str | dict[str, Any]


class AgonVectorEnv(VectorEnv[Any, Any, NDArray[Any]]):
    """`num_envs` environments of one kind, stepped together in Rust.

    Observations, rewards and flags are NumPy arrays with a leading axis of `num_envs`. Each call gives fresh ones, which
    nothing writes again; with `copy=False` the observations are the same arrays each time, overwritten by the next call.
    To hand observations to JAX without a copy that may be shared, use `jnp.array`.

    `infos` has what `SyncVectorEnv` gives: `final_obs` and `final_info` with their masks under same-step autoreset. Where some
    actions can be illegal, `action_mask` (int8, `[num_envs, A]`) says what may be done next.

    An environment belongs to one thread at a time: a second one that calls meanwhile gets an `AgonError`.
    """

    def __init__(
        self,
        id: str,
        num_envs: int = 1,
        *,
        num_threads: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        wrappers: Sequence[Wrapper] = (),
        render_mode: str | None = None,
        copy: bool = True,
        max_episode_steps: int | None = None,
        episode_statistics: bool = False,
        **arguments: Any,
    ) -> None:
        id = agon_id(id)
        mode = AutoresetMode(autoreset_mode)
        self._core = _agon.Vector(
            id,
            num_envs,
            num_threads=num_threads,
            autoreset=mode.value,
            arguments=arguments,
            wrappers=list(wrappers),
            max_episode_steps=max_episode_steps,
            copy=copy,
            statistics=episode_statistics,
        )
        told = self._core.describe()
        check_one_agent(id, told)
        check_render_mode(id, render_mode)
        self.id = id
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.autoreset_mode = mode
        # The vector's own: a class's would be shared by vectors of different modes.
        self.metadata = {"render_modes": list(render_modes(id)), "render_fps": 30, "autoreset_mode": mode}
        self.single_observation_space = space_of(told["observation_space"])
        self.single_action_space = space_of(told["action_space"])
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._same_step = mode is AutoresetMode.SAME_STEP
        self._metrics = told["metrics"]
        self._told = infos.told_by(id, arguments)
        # Whose episode was over after the last step: a next-step autoreset resets them in the next one.
        self._over_before: NDArray[np.bool_] | None = None
        self._all = np.ones(num_envs, dtype=np.bool_)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts episodes: in all environments, or in those that `options["reset_mask"]` chooses.

        Environment `i` gets the random stream of `seed + i`, or of `seed[i]`; without a seed its stream goes on, and before
        the first reset begins anywhere.
        """
        if isinstance(seed, (int, np.integer)):
            seeds: list[int | None] = [int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = [None] * self.num_envs if seed is None else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed must be a number or {self.num_envs} of them, got {len(seeds)}")
        unknown = set(options or {}) - {"reset_mask"}
        if unknown:
            raise ValueError(f"expected no options but reset_mask, got {', '.join(map(repr, sorted(unknown, key=str)))}")
        mask = self._mask((options or {}).get("reset_mask"))
        if not self._core.started:
            if mask is not None and not mask.all():
                raise _agon.AgonError(
                    "the first reset must be of all environments, got a reset_mask that leaves some out"
                )
            mask = None
            seeds = [secrets.randbits(63) if seed is None else seed for seed in seeds]
        observations, action_mask = self._core.reset(seeds, None if mask is None else mask.tolist())
        if isinstance(seed, (int, np.integer)):
            super().reset(seed=int(seed))
        of_row = self._all if mask is None else mask
        told: dict[str, Any] = {}
        if action_mask is not None:
            told |= {"action_mask": action_mask, "_action_mask": of_row.copy()}
        if self._told is not None:
            told |= self._told.reset(observations, of_row)
            self._over_before = None
        return observations, told

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Takes one step in each environment.

        `actions` is a batch of the action space; an illegal one is a `ValueError`, and then nothing has been stepped.
        """
        observations, rewards, terminated, truncated, action_mask, last, statistics = self._core.step(actions)
        told: dict[str, Any] = {}
        if last is not None:
            of_row, final, rows, batch = last
            final_info = {} if self._told is None else self._told.final(batch, rows, of_row)
            told = {
                "final_obs": final,
                "_final_obs": of_row,
                "final_info": final_info,
                "_final_info": of_row.copy(),
            }
        if statistics is not None:
            told |= self._statistics(*statistics)
        if action_mask is not None:
            told |= {"action_mask": action_mask, "_action_mask": self._all.copy()}
        if self._told is not None:
            over = terminated | truncated
            fresh = over if self._same_step else self._over_before
            told |= self._told.step(observations, fresh)
            self._over_before = over
        return observations, rewards, terminated, truncated, told

    def render(self) -> tuple[Rendered, ...]:
        """What `render_mode` says of each environment."""
        return tuple(render(self._core, env, self.render_mode) for env in range(self.num_envs))

    def _mask(self, mask: Any) -> NDArray[np.bool_] | None:
        if mask is None:
            return None
        if not isinstance(mask, np.ndarray):
            raise TypeError(f"options['reset_mask'] must be a NumPy array, got {type(mask)}")
        if mask.shape != (self.num_envs,):
            raise ValueError(f"options['reset_mask'] must have shape ({self.num_envs},), got {mask.shape}")
        if mask.dtype != np.bool_:
            raise TypeError(f"options['reset_mask'] must have dtype bool, got {mask.dtype}")
        if not mask.any():
            raise ValueError("options['reset_mask'] must choose at least one environment, got none")
        return mask

    def _statistics(self, of_row: Any, rows: Any, returns: Any, lengths: Any, metrics: Any) -> dict[str, Any]:
        """What is told of episodes that ended in a step, as Gymnasium's `RecordEpisodeStatistics` does."""
        columns = {"r": returns, "l": lengths}
        columns |= {name: metrics[:, i] for i, name in enumerate(self._metrics)}
        told: dict[str, Any] = {}
        for name, values in columns.items():
            told[name] = np.zeros(self.num_envs, dtype=values.dtype)
            told[name][rows] = values
        return {"episode": told, "_episode": of_row}


def check_one_agent(id: str, told: dict[str, Any]) -> None:
    """Refuses an environment of several agents, which have interfaces of their own."""
    if told["num_agents"] > 1:
        door = "agon.aec_env" if told["turns"] else "agon.parallel_env"
        raise ValueError(f"{id} has {told['num_agents']} agents: use {door}")


def make_vec(id: str, num_envs: int = 1, **options: Any) -> AgonVectorEnv:
    """`num_envs` environments as a vector; the keywords are those of `AgonVectorEnv` and the environment's own arguments.

    `num_threads` share the work (1), `autoreset_mode` is one of Gymnasium's (next step), `wrappers` a list of kinds or of
    dictionaries with a `kind` and its settings, the innermost first, `render_mode` None, `"rgb_array"` or `"ansi"`.
    `copy=False` reuses the observations' arrays, `max_episode_steps` is another time limit than the registered one (-1 for
    none), and `episode_statistics=True` adds `infos["episode"]` with return `r`, length `l` and the environment's metrics.
    """
    return AgonVectorEnv(id, num_envs, **options)


def made_for_gymnasium(num_envs: int, agon_id: str, **options: Any) -> AgonVectorEnv:
    """What `gymnasium.make_vec` calls."""
    return AgonVectorEnv(agon_id, num_envs, **options)
