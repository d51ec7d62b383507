"""What a policy remembers of its episodes, and the parts that remember."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

#: What is remembered of ``N`` episodes: tensors ``[N, …]`` by name. All zeros, or ``None``, is an episode's beginning.
State = dict[str, torch.Tensor]


class Memory:
    """The state before a step of ``N`` rows, and the one after it."""

    def __init__(self, before: State | None, rows: int, like: torch.Tensor) -> None:
        self._before = {} if before is None else before
        self._rows = rows
        self._like = like
        #: What there is to go on with.
        self.after: State = {}

    def take(self, name: str, *shape: int) -> torch.Tensor:
        """What a part remembers, ``[N, *shape]``."""
        expected = (self._rows, *shape)
        found = self._before.get(name)
        if found is None:
            return self._like.new_zeros(expected)
        if found.shape != expected:
            raise ValueError(f"expected a state with {name} of shape {expected}, got {tuple(found.shape)}")
        return found

    def put(self, name: str, value: torch.Tensor) -> None:
        self.after[name] = value


class Step(Protocol):
    """A function of rows ``[N, F]``, and of what is remembered."""

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor: ...


def forget(state: State | None, episode_start: torch.Tensor) -> State | None:
    """The state without what was before the episodes that begin, ``[N]``."""
    if state is None:
        return None
    goes_on = ~episode_start.bool()
    return {name: part * goes_on.reshape(-1, *[1] * (part.dim() - 1)).to(part) for name, part in state.items()}


class Stack:
    """The last observations of an episode as one row, the newest last, each group of values by itself."""

    def __init__(self, name: str, frames: int, groups: int, group_len: int, padding: str) -> None:
        self._name = name
        self._frames = frames
        self._group = (groups, group_len)
        self._repeats_first = padding == "reset"

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor:
        older = memory.take(f"{self._name}.frames", self._frames - 1, x.shape[1])
        seen = memory.take(f"{self._name}.seen")
        frames = torch.cat([older, x[:, None]], 1)
        if self._repeats_first:
            frames = torch.where((seen == 0)[:, None, None], x[:, None], frames)
        memory.put(f"{self._name}.frames", frames[:, 1:])
        memory.put(f"{self._name}.seen", torch.ones_like(seen))
        return frames.unflatten(2, self._group).transpose(1, 2).flatten(1)


class Recurrent:
    """A step of a recurrent layer."""

    def __init__(self, name: str, layer: nn.RNNBase) -> None:
        self._name = name
        self._layer = layer
        self._parts = ("h", "c") if isinstance(layer, nn.LSTM) else ("h",)

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor:
        state = [memory.take(f"{self._name}.{part}", self._layer.hidden_size)[None] for part in self._parts]
        y, after = self._layer(x[None], tuple(state) if len(state) > 1 else state[0])
        for part, values in zip(self._parts, after if isinstance(after, tuple) else (after,)):
            memory.put(f"{self._name}.{part}", values[0])
        return y[0]


class Attention:
    """A step of a transformer that attends to the last steps of an episode."""

    #: The base of the wavelengths of positions.
    BASE = 10_000.0

    def __init__(self, operation: dict[str, Any], input: Step, blocks: list[AttentionBlock], output: Step, table: Any) -> None:
        self._input, self._blocks, self._output = input, blocks, output
        self._position = operation["position"]["kind"]
        self._table = table
        self._width, self._heads, self._window = operation["width"], operation["heads"], operation["window"]

    def __call__(self, x: torch.Tensor, memory: Memory) -> torch.Tensor:
        position = memory.take("attention.position")
        x = self._input(x, memory)
        if self._position == "learned":
            x = x + self._table[position.long().clamp(max=len(self._table) - 1)]
        elif self._position == "sinusoidal":
            sine, cosine = self._waves(position, math.ceil(self._width / 2))
            x = x + torch.stack([sine, cosine], 2).flatten(1)[:, : self._width]
        # Of the window's places, the newest last, those with a step of this episode.
        place = torch.arange(self._window, device=x.device)
        filled = place >= self._window - 1 - position[:, None]
        for index, block in enumerate(self._blocks):
            x = self._block(block, f"attention.{index}", position, filled, x, memory)
        memory.put("attention.position", position + 1)
        return self._output(x, memory)

    def _block(
        self,
        block: AttentionBlock,
        name: str,
        position: torch.Tensor,
        filled: torch.Tensor,
        x: torch.Tensor,
        memory: Memory,
    ) -> torch.Tensor:
        query, key, value = block.project(x, memory).unflatten(1, (3, self._heads, -1)).unbind(1)
        if self._position == "rotary":
            query, key = self._rotated(query, position), self._rotated(key, position)
        remembered = []
        for part, new in (("keys", key), ("values", value)):
            ring = memory.take(f"{name}.{part}", self._window, *new.shape[1:])
            ring = torch.cat([ring[:, 1:], new[:, None]], 1)
            memory.put(f"{name}.{part}", ring)
            remembered.append(ring.transpose(1, 2))
        mask = filled[:, None, None, :]
        context = functional.scaled_dot_product_attention(query[:, :, None], *remembered, attn_mask=mask)
        x = block.join(0, x, block.attended(context.flatten(1), memory))
        return block.join(1, x, block.feed_forward(x, memory))

    def _rotated(self, heads: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        left, right = heads.chunk(2, -1)
        sine, cosine = (wave[:, None] for wave in self._waves(position, left.shape[-1]))
        return torch.cat([left * cosine - right * sine, right * cosine + left * sine], -1)

    def _waves(self, position: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Sine and cosine of ``position / BASE^(i / count)``, ``[N, count]`` each."""
        exponent = torch.arange(count, dtype=torch.float64, device=position.device) / count
        angle = position.double()[:, None] * self.BASE**-exponent
        return angle.sin().float(), angle.cos().float()


class AttentionBlock:
    """The maps of a block, and how their results are joined with what they were given."""

    def __init__(self, project: Step, attended: Step, feed_forward: Step, gates: list[Gate] | None) -> None:
        self.project, self.attended, self.feed_forward = project, attended, feed_forward
        self._gates = gates

    def join(self, which: int, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The sum, or what a gate makes of both."""
        return x + y if self._gates is None else self._gates[which](x, y)


class Gate:
    """``(1 − z) ⊙ x + z ⊙ h`` with ``r = σ(W_r y + U_r x)``, ``z = σ(W_z y + U_z x − b)``, ``h = tanh(W_h y + U_h (r ⊙ x))``."""

    def __init__(self, of_y: torch.Tensor, of_x: torch.Tensor, bias: torch.Tensor) -> None:
        self._of_y, self._of_x, self._bias = of_y, of_x, bias

    def __call__(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        w_r, w_z, w_h = functional.linear(y, self._of_y).chunk(3, 1)
        u_r, u_z, u_h = self._of_x.chunk(3)
        reset = torch.sigmoid(w_r + functional.linear(x, u_r))
        update = torch.sigmoid(w_z + functional.linear(x, u_z, -self._bias))
        candidate = torch.tanh(w_h + functional.linear(reset * x, u_h))
        return x + update * (candidate - x)
