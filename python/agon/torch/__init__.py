"""Policies as PyTorch modules, with the numbers of :class:`agon.Policy`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from agon.torch.memory import Memory, Stack, State, forget
from agon.torch.operations import Operations

__all__ = ["State", "TorchPolicy"]


class TorchPolicy(nn.Module):
    """A policy's network. Its ``state_dict`` has the names of the weight file.

    ``forward(observation, state)`` gives the network's outputs ``[N, P]`` and the state to go on with; ``act`` gives the
    policy's best actions, in the environment's own terms. Observations are ``[N, …]`` as the environment gives them, packed
    into rows where they have parts; the running statistics that training normalised them by are part of the module.

    The state is what the policy remembers of its ``N`` episodes, a dictionary of tensors ``[N, …]``: recurrent state, keys and
    values of earlier steps, stacked frames; empty if it remembers nothing. Begin with ``None``. ``episode_start`` is ``[N]``, true
    where an episode begins with this observation and what was before is forgotten.
    """

    def __init__(self, program: dict[str, Any], parameters: dict[str, np.ndarray]) -> None:
        super().__init__()
        steps = enumerate(program["preparation"])
        self._preparation = [self._prepared(step, f"preparation.{index}") for index, step in steps]
        self._network = Operations(self, parameters).chain(program["operations"])
        self._decision, self._adjustments, self._action = program["decision"], program["adjustments"], program["action"]

    def _prepared(self, step: dict[str, Any], name: str) -> Callable[[torch.Tensor, Memory], torch.Tensor]:
        """What a step between an observation and the network does to rows ``[N, F]``."""
        kind = step["kind"]
        if kind == "stack":
            return Stack(name, step["frames"], step["groups"], step["group_len"], step["padding"])
        if kind == "normalize":
            self.register_buffer("observation_mean", torch.tensor(step["mean"], dtype=torch.float64))
            self.register_buffer("observation_scale", torch.tensor(step["scale"], dtype=torch.float64))
        apply = getattr(self, f"_{kind}", None)
        if apply is None:
            raise ValueError(f"PyTorch has no part for {kind}")
        return lambda x, _: apply(x, step)

    def _normalize(self, x: torch.Tensor, step: dict[str, Any]) -> torch.Tensor:
        scaled = (x.double() - self.observation_mean) * self.observation_scale
        return scaled.float().clamp(-step["clip"], step["clip"])

    def _one_hot(self, x: torch.Tensor, step: dict[str, Any]) -> torch.Tensor:
        columns = enumerate(zip(step["categories"], step["first"]))
        return torch.cat([_column(x, index, n, first) for index, (n, first) in columns], 1)

    def _select(self, x: torch.Tensor, step: dict[str, Any]) -> torch.Tensor:
        return x[:, step["indices"]]

    def _hide(self, x: torch.Tensor, step: dict[str, Any]) -> torch.Tensor:
        return x.masked_fill(~torch.tensor(step["shown"], device=x.device), 0)

    def _scale(self, x: torch.Tensor, step: dict[str, Any]) -> torch.Tensor:
        return x * step["by"]

    def forward(
        self, observation: torch.Tensor, state: State | None = None, episode_start: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, State]:
        """The network's outputs ``[N, P]`` for observations ``[N, …]``, and the state after them."""
        x = observation.reshape(len(observation), -1).float()
        if episode_start is not None:
            state = forget(state, episode_start)
        memory = Memory(state, len(x), x)
        for prepare in self._preparation:
            x = prepare(x, memory)
        return self._network(x, memory), memory.after

    @torch.no_grad()
    def act(
        self,
        observation: torch.Tensor,
        state: State | None = None,
        action_mask: torch.Tensor | None = None,
        episode_start: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """The best actions for observations ``[N, …]``, of those that the masks ``[N, A]`` allow, and the state after them."""
        outputs, state = self(observation, state, episode_start)
        return self._decide(outputs, action_mask), state

    def _decide(self, outputs: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        decision = self._decision
        kind = decision["kind"]
        if kind in ("gaussian", "squashed"):
            low, high = _bounds(decision, outputs)
            actions = outputs[:, : len(low)]
            if kind == "squashed":
                actions = (0.5 * low + 0.5 * high) + (0.5 * high - 0.5 * low) * torch.tanh(actions)
            return self._adjusted(torch.clamp(actions, low, high))
        if kind == "categories":
            support = outputs.new_tensor(decision["support"])
            outputs = (outputs.unflatten(1, (decision["actions"], -1)).softmax(-1) * support).sum(-1)
        elif kind == "quantiles":
            outputs = outputs.unflatten(1, (decision["actions"], -1)).mean(-1)
        if mask is not None:
            outputs = outputs.masked_fill(~mask.bool(), -torch.inf)
        if kind == "categorical" and len(decision["nvec"]) > 1:
            return torch.stack([part.argmax(1) for part in outputs.split(decision["nvec"], 1)], 1)
        return outputs.argmax(1) + self._action.get("start", 0)

    def _adjusted(self, actions: torch.Tensor) -> torch.Tensor:
        """Actions as the environment takes them."""
        for step in self._adjustments:
            low, high = _bounds(step, actions)
            if step["kind"] == "rescale":
                actions = low + (high - low) * ((actions - step["min"]) / (step["max"] - step["min"]))
            actions = torch.clamp(actions, low, high)
        return actions.reshape(len(actions), *self._action["shape"])


def _column(x: torch.Tensor, index: int, n: int, first: int) -> torch.Tensor:
    """A column as a number ``[N, 1]``, or of ``n`` categories from ``first`` on as a unit vector ``[N, n]``."""
    if n == 0:
        return x[:, index : index + 1]
    return functional.one_hot(x[:, index].long() - first, n).float()


def _bounds(box: dict[str, Any], like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower and upper bounds; a report has ``None`` for what is not finite."""
    low = [-np.inf if bound is None else bound for bound in box["low"]]
    high = [np.inf if bound is None else bound for bound in box["high"]]
    return like.new_tensor(low), like.new_tensor(high)
