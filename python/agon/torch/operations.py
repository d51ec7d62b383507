"""What networks compute, as steps of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from agon.torch.memory import Attention, AttentionBlock, Gate, Memory, Recurrent, Step

_FUNCTIONS = {
    "relu": functional.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "elu": functional.elu,
    "leaky_relu": functional.leaky_relu,
}


class Operations:
    """Makes steps of operations, and puts their parameters into a module under the names of the weight file.

    Compressed weights are unpacked: their parameters are the numbers that they stand for.
    """

    def __init__(self, module: nn.Module, parameters: dict[str, np.ndarray]) -> None:
        self._module = module
        self._given = {name: torch.from_numpy(np.array(values)) for name, values in parameters.items()}

    def chain(self, operations: list[dict[str, Any]]) -> Step:
        """One after the other."""
        steps = [self._step(operation) for operation in operations]

        def chain(x: torch.Tensor, memory: Memory) -> torch.Tensor:
            for step in steps:
                x = step(x, memory)
            return x

        return chain

    def _step(self, operation: dict[str, Any]) -> Step:
        kind = operation["kind"]
        if kind in ("recurrent", "residual", "parallel", "attention", "implicit_quantiles"):
            return getattr(self, f"_{kind}")(operation)
        make = getattr(self, f"_{kind}", None)
        if make is None:
            raise ValueError(f"PyTorch has no part for {operation.get('layer', kind)}")
        function = make(operation)
        return lambda x, _: function(x)

    def _owner(self, names: str) -> nn.Module:
        """The module of these names, one within the other."""
        at = self._module
        for name in names.split("."):
            if not hasattr(at, name):
                at.add_module(name, nn.Module())
            at = getattr(at, name)
        return at

    def _parameter(self, name: str) -> nn.Parameter:
        owner, _, own = name.rpartition(".")
        parameter = nn.Parameter(self._given[name].clone())
        self._owner(owner).register_parameter(own, parameter)
        return parameter

    def _place(self, module: nn.Module, **parameters: str) -> nn.Module:
        """Puts a module where the names of its parameters say, and gives it their values."""
        owner = next(iter(parameters.values())).rpartition(".")[0]
        above, _, own = owner.rpartition(".")
        (self._owner(above) if above else self._module).add_module(own, module)
        with torch.no_grad():
            for parameter, name in parameters.items():
                getattr(module, parameter).copy_(self._given[name])
        return module

    def _linear(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        linear = nn.Linear(operation["inputs"], operation["outputs"])
        return self._place(linear, weight=operation["weight"], bias=operation["bias"])

    def _conv2d(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        shape = operation["input"]
        sizes = {key: tuple(operation[key]) for key in ("stride", "padding", "dilation")}
        conv = nn.Conv2d(shape[0], operation["output"][0], tuple(operation["kernel"]), groups=operation["groups"], **sizes)
        self._place(conv, weight=operation["weight"], bias=operation["bias"])
        return lambda x: conv(x.unflatten(1, shape)).flatten(1)

    def _sparse(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        inner = operation["map"]
        shape = _weight_shape(inner)
        places = self._given[operation["places"]].to(torch.uint8).numpy()
        is_stored = np.unpackbits(places, bitorder="little")[: int(np.prod(shape))].astype(bool)
        weight = torch.zeros(is_stored.size)
        weight[torch.from_numpy(is_stored)] = self._given[inner["weight"]].float()
        self._given[inner["weight"]] = weight.reshape(shape)
        return getattr(self, f"_{inner['kind']}")(inner)

    def _quantized(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        inner = operation["map"]
        stored = inner["map"] if inner["kind"] == "sparse" else inner
        shape = _weight_shape(stored)
        scale = self._given[operation["scale"]]
        if inner["kind"] == "sparse":
            function = self._sparse(inner)
            weight = self._module.get_parameter(stored["weight"])
            with torch.no_grad():
                weight.mul_(scale.reshape(-1, *[1] * (len(shape) - 1)))
        else:
            weight = self._given[stored["weight"]].float() * scale.reshape(-1, *[1] * (len(shape) - 1))
            self._given[stored["weight"]] = weight
            function = getattr(self, f"_{stored['kind']}")(stored)
        quantization = operation["input"]
        if quantization is None:
            return function
        size, zero = quantization["scale"], float(quantization["zero_point"])
        inverse = float(np.float32(1) / np.float32(size))
        return lambda x: function(torch.round((x * inverse).clamp(-zero, 255 - zero)) * size)

    def _activation(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        return _FUNCTIONS[operation["function"]]

    def _layer_norm(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        norm = nn.LayerNorm(operation["width"], operation["eps"])
        return self._place(norm, weight=operation["weight"], bias=operation["bias"])

    def _rms_norm(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        return self._place(nn.RMSNorm(operation["width"], operation["eps"]), weight=operation["weight"])

    def _pool2d(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        pool = functional.avg_pool2d if operation["average"] else functional.max_pool2d
        shape, kernel = operation["input"], tuple(operation["kernel"])
        stride, padding = tuple(operation["stride"]), tuple(operation["padding"])
        return lambda x: pool(x.unflatten(1, shape), kernel, stride, padding).flatten(1)

    def _channels_first(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        channels, height, width = operation["output"]
        return lambda x: x.unflatten(1, (height, width, channels)).permute(0, 3, 1, 2).flatten(1)

    def _one_hot(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        categories = operation["categories"]

        def one_hot(x: torch.Tensor) -> torch.Tensor:
            parts = [functional.one_hot(x[:, index].long(), count) for index, count in enumerate(categories)]
            return torch.cat(parts, 1).float()

        return one_hot

    def _embedding(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        rows = len(self._given[operation["weight"]])
        table = self._place(nn.Embedding(rows, operation["width"]), weight=operation["weight"])
        first = torch.tensor(operation["first"])
        return lambda x: table(x.long() + first.to(x.device)).flatten(1)

    def _dueling(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        actions, atoms = operation["actions"], operation["atoms"]

        def dueling(x: torch.Tensor) -> torch.Tensor:
            value, advantages = x[:, None, :atoms], x[:, atoms:].unflatten(1, (actions, atoms))
            return (value + advantages - advantages.mean(1, keepdim=True)).flatten(1)

        return dueling

    def _append(self, operation: dict[str, Any]) -> Callable[..., torch.Tensor]:
        parameter = self._parameter(operation["parameter"])
        return lambda x: torch.cat([x, parameter.expand(len(x), -1)], 1)

    def _residual(self, operation: dict[str, Any]) -> Step:
        inner = self.chain(operation["operations"])
        return lambda x, memory: x + inner(x, memory)

    def _parallel(self, operation: dict[str, Any]) -> Step:
        branches = [(slice(*branch["columns"]), self.chain(branch["operations"])) for branch in operation["branches"]]
        return lambda x, memory: torch.cat([inner(x[:, columns], memory) for columns, inner in branches], 1)

    def _implicit_quantiles(self, operation: dict[str, Any]) -> Step:
        cosines = torch.tensor(operation["cosines"])
        embedding, head = self.chain(operation["embedding"]), self.chain(operation["head"])

        def mean(x: torch.Tensor, memory: Memory) -> torch.Tensor:
            places = embedding(cosines.to(x.device), memory)
            quantiles = head((x[:, None] * places).flatten(0, 1), memory)
            return quantiles.unflatten(0, (len(x), len(places))).mean(1)

        return mean

    def _recurrent(self, operation: dict[str, Any]) -> Step:
        kinds = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
        layer = kinds[operation["cell"]](operation["inputs"], operation["hidden"])
        names = {f"{name}_l0": operation[name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        return Recurrent(operation["weight_ih"].rpartition(".")[0], self._place(layer, **names))

    def _attention(self, operation: dict[str, Any]) -> Step:
        position = operation["position"]
        table = self._parameter(position["table"]) if position["kind"] == "learned" else None
        blocks = [self._block(block) for block in operation["blocks"]]
        return Attention(operation, self.chain(operation["input"]), blocks, self.chain(operation["output"]), table)

    def _block(self, block: dict[str, Any]) -> AttentionBlock:
        parts = (self.chain(block[part]) for part in ("project", "attended", "feed_forward"))
        gates = block["gates"]
        names = ("weight_y", "weight_x", "bias")
        made = None if gates is None else [Gate(*(self._parameter(gate[name]) for name in names)) for gate in gates]
        return AttentionBlock(*parts, gates=made)


def _weight_shape(operation: dict[str, Any]) -> tuple[int, ...]:
    """Of a linear map or convolution."""
    if operation["kind"] == "linear":
        return operation["outputs"], operation["inputs"]
    channels = operation["input"][0] // operation["groups"]
    return operation["output"][0], channels, *operation["kernel"]
