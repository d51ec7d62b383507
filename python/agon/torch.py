"""Policies as PyTorch modules, with the numbers of :class:`agon.Policy`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

_FUNCTIONS = {
    "relu": functional.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "elu": functional.elu,
    "leaky_relu": functional.leaky_relu,
}

#: Recurrent state: ``h``, or ``(h, c)`` of an LSTM, each ``[1, N, H]``.
State = Any


class TorchPolicy(nn.Module):
    """A policy's network. Its ``state_dict`` has the names of the weight file.

    ``forward(observation, state)`` gives the network's outputs ``[N, P]`` and the state to go on with; ``act`` gives the
    policy's best actions, in the environment's own terms. Observations are ``[N, …]`` as the environment gives them, packed
    into rows where they have parts; the running statistics that training normalised them by are part of the module.
    """

    def __init__(self, program: dict[str, Any], parameters: dict[str, np.ndarray]) -> None:
        super().__init__()
        self._given = {name: torch.from_numpy(np.array(values)) for name, values in parameters.items()}
        self._preparation = [self._prepared(step) for step in program["preparation"]]
        self._steps = [self._step(operation) for operation in program["operations"]]
        self._decision, self._adjustments, self._action = program["decision"], program["adjustments"], program["action"]
        del self._given

    def _prepared(self, step: dict[str, Any]) -> Any:
        """What a step between an observation and the network does to rows ``[N, F]``."""
        kind = step["kind"]
        if kind == "normalize":
            self.register_buffer("observation_mean", torch.tensor(step["mean"], dtype=torch.float64))
            self.register_buffer("observation_scale", torch.tensor(step["scale"], dtype=torch.float64))
            clip = step["clip"]
            return lambda x: ((x.double() - self.observation_mean) * self.observation_scale).float().clamp(-clip, clip)
        if kind == "one_hot":
            columns = list(zip(step["categories"], step["first"]))
            return lambda x: torch.cat([_column(x, index, n, first) for index, (n, first) in enumerate(columns)], 1)
        if kind == "select":
            return lambda x: x[:, step["indices"]]
        if kind == "hide":
            shown = torch.tensor(step["shown"])
            return lambda x: x.masked_fill(~shown.to(x.device), 0)
        if kind == "scale":
            return lambda x: x * step["by"]
        raise ValueError(f"PyTorch has no part for {kind}: what the network sees depends on earlier steps of the episode")

    def forward(self, observation: torch.Tensor, state: State = None) -> tuple[torch.Tensor, State]:
        """The network's outputs ``[N, P]`` for observations ``[N, …]``, and the recurrent state after them."""
        x = observation.reshape(len(observation), -1).float()
        for prepare in self._preparation:
            x = prepare(x)
        for step in self._steps:
            if isinstance(step, _Recurrent):
                x, state = step(x, state)
            else:
                x = step(x)
        return x, state

    @torch.no_grad()
    def act(
        self, observation: torch.Tensor, state: State = None, action_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, State]:
        """The best actions for observations ``[N, …]``, of those that the masks ``[N, A]`` allow, and the state after them."""
        outputs, state = self(observation, state)
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

    def _step(self, operation: dict[str, Any]) -> Any:
        """What computes an operation on rows ``[N, F]``."""
        make = getattr(self, f"_{operation['kind']}", None)
        if make is None:
            raise ValueError(f"PyTorch has no part for {operation.get('layer', operation['kind'])}")
        return make(operation)

    def _place(self, module: nn.Module, **parameters: str) -> nn.Module:
        """Puts a module, or its owner, where the names of its parameters say, and gives it their values."""
        owner = next(iter(parameters.values())).rpartition(".")[0]
        at: nn.Module = self
        *parents, last = owner.split(".")
        for parent in parents:
            if not hasattr(at, parent):
                at.add_module(parent, nn.Module())
            at = getattr(at, parent)
        at.add_module(last, module)
        with torch.no_grad():
            for own, name in parameters.items():
                getattr(module, own).copy_(self._given[name])
        return module

    def _linear(self, operation: dict[str, Any]) -> Any:
        linear = nn.Linear(operation["inputs"], operation["outputs"])
        return self._place(linear, weight=operation["weight"], bias=operation["bias"])

    def _activation(self, operation: dict[str, Any]) -> Any:
        return _FUNCTIONS[operation["function"]]

    def _layer_norm(self, operation: dict[str, Any]) -> Any:
        norm = nn.LayerNorm(operation["width"], operation["eps"])
        return self._place(norm, weight=operation["weight"], bias=operation["bias"])

    def _rms_norm(self, operation: dict[str, Any]) -> Any:
        return self._place(nn.RMSNorm(operation["width"], operation["eps"]), weight=operation["weight"])

    def _conv2d(self, operation: dict[str, Any]) -> Any:
        shape = operation["input"]
        sizes = {key: tuple(operation[key]) for key in ("stride", "padding", "dilation")}
        conv = nn.Conv2d(shape[0], operation["output"][0], tuple(operation["kernel"]), groups=operation["groups"], **sizes)
        self._place(conv, weight=operation["weight"], bias=operation["bias"])
        return lambda x: conv(x.unflatten(1, shape)).flatten(1)

    def _pool2d(self, operation: dict[str, Any]) -> Any:
        pool = functional.avg_pool2d if operation["average"] else functional.max_pool2d
        shape, kernel = operation["input"], tuple(operation["kernel"])
        stride, padding = tuple(operation["stride"]), tuple(operation["padding"])
        return lambda x: pool(x.unflatten(1, shape), kernel, stride, padding).flatten(1)

    def _channels_first(self, operation: dict[str, Any]) -> Any:
        channels, height, width = operation["output"]
        return lambda x: x.unflatten(1, (height, width, channels)).permute(0, 3, 1, 2).flatten(1)

    def _one_hot(self, operation: dict[str, Any]) -> Any:
        categories = operation["categories"]

        def one_hot(x: torch.Tensor) -> torch.Tensor:
            parts = [functional.one_hot(x[:, index].long(), count) for index, count in enumerate(categories)]
            return torch.cat(parts, 1).float()

        return one_hot

    def _embedding(self, operation: dict[str, Any]) -> Any:
        rows = len(self._given[operation["weight"]])
        table = self._place(nn.Embedding(rows, operation["width"]), weight=operation["weight"])
        first = torch.tensor(operation["first"])
        return lambda x: table(x.long() + first.to(x.device)).flatten(1)

    def _residual(self, operation: dict[str, Any]) -> Any:
        inner = self._chain(operation["operations"])
        return lambda x: x + inner(x)

    def _parallel(self, operation: dict[str, Any]) -> Any:
        branches = [(slice(*branch["columns"]), self._chain(branch["operations"])) for branch in operation["branches"]]
        return lambda x: torch.cat([inner(x[:, columns]) for columns, inner in branches], 1)

    def _chain(self, operations: list[dict[str, Any]]) -> Any:
        steps = [self._step(operation) for operation in operations]

        def chain(x: torch.Tensor) -> torch.Tensor:
            for step in steps:
                x = step(x)
            return x

        return chain

    def _dueling(self, operation: dict[str, Any]) -> Any:
        actions, atoms = operation["actions"], operation["atoms"]

        def dueling(x: torch.Tensor) -> torch.Tensor:
            value, advantages = x[:, None, :atoms], x[:, atoms:].unflatten(1, (actions, atoms))
            return (value + advantages - advantages.mean(1, keepdim=True)).flatten(1)

        return dueling

    def _implicit_quantiles(self, operation: dict[str, Any]) -> Any:
        cosines = torch.tensor(operation["cosines"])
        embedding, head = self._chain(operation["embedding"]), self._chain(operation["head"])

        def mean(x: torch.Tensor) -> torch.Tensor:
            places = embedding(cosines.to(x.device))
            quantiles = head((x[:, None] * places).flatten(0, 1))
            return quantiles.unflatten(0, (len(x), len(places))).mean(1)

        return mean

    def _append(self, operation: dict[str, Any]) -> Any:
        owner, _, name = operation["parameter"].rpartition(".")
        parameter = nn.Parameter(self._given[operation["parameter"]].clone())
        at: nn.Module = self
        for part in owner.split("."):
            if not hasattr(at, part):
                at.add_module(part, nn.Module())
            at = getattr(at, part)
        at.register_parameter(name, parameter)
        return lambda x: torch.cat([x, parameter.expand(len(x), -1)], 1)

    def _recurrent(self, operation: dict[str, Any]) -> Any:
        kinds = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
        layer = kinds[operation["cell"]](operation["inputs"], operation["hidden"])
        names = {f"{name}_l0": operation[name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        return _Recurrent(self._place(layer, **names))


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


class _Recurrent:
    """One step of a recurrent layer; zeros are the state before an episode."""

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer

    def __call__(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        y, state = self._layer(x[None], state)
        return y[0], state
