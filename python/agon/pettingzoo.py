"""Environments of several agents with PettingZoo's classes."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import parallel_to_aec
from pettingzoo.utils.wrappers import AssertOutOfBoundsWrapper, OrderEnforcingWrapper, TerminateIllegalWrapper

from agon import _agon
from agon.registration import agon_id
from agon.rendering import Rendered, check_render_mode, render, render_modes
from agon.spaces import row, space_of
from agon.vector import Wrapper


def _core(
    id: str, wrappers: Sequence[Wrapper], max_episode_steps: int | None, arguments: dict[str, Any]
) -> Any:
    return _agon.Vector(
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


def _names(num_agents: int, teams: list[str]) -> list[str]:
    """Names of agents: their team's, numbered."""
    count: Counter[str] = Counter()
    names = []
    for team in teams or ["agent"] * num_agents:
        names.append(f"{team}_{count[team]}")
        count[team] += 1
    return names


class AgonParallelEnv(ParallelEnv[str, Any, Any], EzPickle):
    """An arena whose agents act at the same time. An agent that has ended leaves; the others go on."""

    def __init__(
        self,
        id: str,
        *,
        wrappers: Sequence[Wrapper] = (),
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        **arguments: Any,
    ) -> None:
        options = {"wrappers": wrappers, "render_mode": render_mode, "max_episode_steps": max_episode_steps}
        EzPickle.__init__(self, id, **options, **arguments)
        id = agon_id(id)
        self._core = _core(id, wrappers, max_episode_steps, arguments)
        told = self._core.describe()
        if told["num_agents"] == 1:
            raise ValueError(
                f"{id} has one agent: use agon.make or agon.make_vec, and agon.aec_env for a board"
            )
        if told["turns"]:
            raise ValueError(f"{id} has {told['num_agents']} agents that move in turn: use agon.aec_env")
        check_render_mode(id, render_mode)
        self.id = id
        self.render_mode = render_mode
        self.metadata = {
            "name": id,
            "render_modes": list(render_modes(id)),
            "render_fps": 10,
            "is_parallelizable": True,
        }
        self.possible_agents = _names(told["num_agents"], told["teams"])
        self.agents: list[str] = []
        self._rows = {agent: index for index, agent in enumerate(self.possible_agents)}
        self._space = space_of(told["observation_space"])
        # A space an agent, so that seeding one leaves the others alone.
        self.observation_spaces = {agent: space_of(told["observation_space"]) for agent in self._rows}
        self.action_spaces = {agent: space_of(told["action_space"]) for agent in self._rows}

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """What `agent` sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """What `agent` does."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Starts an episode with all agents; without a seed the random stream goes on."""
        if seed is None and not self._core.started:
            seed = secrets.randbits(63)
        observations, mask = self._core.reset([seed])
        self.agents = list(self.possible_agents)
        return self._observed(observations), self._infos(mask)

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Takes one step, given an action of each agent that is there."""
        if not self.agents:
            return {}, {}, {}, {}, {}
        if missing := [agent for agent in self.agents if agent not in actions]:
            raise ValueError(f"actions must have one of each agent, got none of {missing}")
        idle = np.zeros_like(np.asarray(actions[self.agents[0]]))
        batch = [actions[agent] if agent in self.agents else idle for agent in self.possible_agents]
        observations, rewards, terminated, truncated, mask, *_ = self._core.step(np.stack(batch))
        told = (
            self._observed(observations),
            {agent: float(rewards[self._rows[agent]]) for agent in self.agents},
            {agent: bool(terminated[self._rows[agent]]) for agent in self.agents},
            {agent: bool(truncated[self._rows[agent]]) for agent in self.agents},
            self._infos(mask),
        )
        self.agents = [agent for agent in self.agents if not (told[2][agent] or told[3][agent])]
        return told

    def render(self) -> Rendered:
        """What `render_mode` says."""
        return render(self._core, 0, self.render_mode)

    def close(self) -> None:
        """Nothing is held that needs closing."""

    def _observed(self, observations: Any) -> dict[str, Any]:
        return {agent: row(self._space, observations, self._rows[agent]) for agent in self.agents}

    def _infos(self, mask: Any) -> dict[str, dict[str, Any]]:
        return {
            agent: {} if mask is None else {"action_mask": mask[self._rows[agent]]} for agent in self.agents
        }


class AgonBoard(AECEnv[str, Any, Any], EzPickle):
    """A board game whose two players move in turn; keywords are the game's own arguments, such as `size`.

    A player observes a dictionary: `observation`, the planes of the game's page from its side (`[rows, columns, planes]` bytes,
    0 or 255: its own pieces, the other player's, whether it is its turn, and those of the game), and `action_mask`, its legal
    moves (none while the other is to move, and none after the end). The winner gets 1, the loser -1.
    """

    def __init__(self, id: str, *, render_mode: str | None = None, **arguments: Any) -> None:
        EzPickle.__init__(self, id, render_mode=render_mode, **arguments)
        super().__init__()
        id = agon_id(id)
        if "opponent" in arguments:
            raise ValueError(
                f"{id} takes no opponent here, where both sides are agents: "
                "use agon.make or agon.make_vec to play against one"
            )
        self._core = _core(id, (), None, {**arguments, "opponent": "self"})
        told = self._core.describe()
        check_render_mode(id, render_mode)
        self.id = id
        self.render_mode = render_mode
        self.metadata = {
            "name": id,
            "render_modes": list(render_modes(id)),
            "render_fps": 2,
            "is_parallelizable": False,
        }
        self.possible_agents = ["player_0", "player_1"]
        self.agents = list(self.possible_agents)
        self._rows = {agent: index for index, agent in enumerate(self.possible_agents)}
        self.action_spaces = {agent: space_of(told["action_space"]) for agent in self.agents}
        self.observation_spaces = {
            agent: spaces.Dict(
                {
                    "observation": space_of(told["observation_space"]),
                    "action_mask": spaces.Box(0, 1, (told["mask_len"],), dtype=np.int8),
                }
            )
            for agent in self.agents
        }
        self._observations: Any = None
        self._masks: Any = None

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """What `agent` sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """What `agent` does."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Sets up the board; nothing in a game is random."""
        self._observations, self._masks = self._core.reset([0 if seed is None else seed])
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self.agent_selection = self.possible_agents[self._core.turn(0)]

    def observe(self, agent: str) -> dict[str, Any]:
        """The board from the side of `agent`."""
        row = self._rows[agent]
        # The core lets who waits take action 0, and everybody anything after the end; neither is a move.
        moves = agent == self.agent_selection and not self.terminations.get(agent, True)
        mask = self._masks[row].copy() if moves else np.zeros_like(self._masks[row])
        return {"observation": self._observations[row].copy(), "action_mask": mask}

    def step(self, action: Any) -> None:
        """Makes the move of the player whose turn it is."""
        mover = self.agent_selection
        if self.terminations[mover] or self.truncations[mover]:
            self._was_dead_step(action)
            return
        batch = [action if agent == mover else 0 for agent in self.possible_agents]
        self._observations, rewards, terminated, _, self._masks, *_ = self._core.step(batch)
        self._cumulative_rewards[mover] = 0.0
        self.rewards = {agent: float(rewards[row]) for agent, row in self._rows.items()}
        self.terminations = {agent: bool(terminated[row]) for agent, row in self._rows.items()}
        self.agent_selection = self.possible_agents[self._core.turn(0)]
        self._accumulate_rewards()

    def render(self) -> Rendered:
        """What `render_mode` says."""
        return render(self._core, 0, self.render_mode)

    def close(self) -> None:
        """Nothing is held that needs closing."""


def parallel_env(id: str, **options: Any) -> AgonParallelEnv:
    """An arena of several agents with PettingZoo's parallel API; `options` as of `AgonParallelEnv`."""
    return AgonParallelEnv(id, **options)


def aec_env(id: str, **options: Any) -> AECEnv[str, Any, Any]:
    """A board game, or an arena of several agents, with PettingZoo's turn-taking API; `options` as of their classes.

    An illegal move on a board ends the game and costs the mover 1, as in PettingZoo's own games.
    """
    told = _agon.environment(agon_id(id))
    if told["is_board"]:
        env: AECEnv[str, Any, Any] = TerminateIllegalWrapper(AgonBoard(id, **options), illegal_reward=-1)
        return OrderEnforcingWrapper(AssertOutOfBoundsWrapper(env))
    if told["num_agents"] > 1:
        return parallel_to_aec(AgonParallelEnv(id, **options))
    raise ValueError(f"{id} has one agent and is no board game: use agon.make or agon.make_vec")
