"""Trained policies in Python's hands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from agon import _agon
from agon.spaces import row, space_of


def load(path: str | os.PathLike[str], *, best: bool = False, step: int | None = None) -> Policy:
    """The policy of a run or of a weight file: the newest, the best, or that after ``step`` environment steps."""
    return Policy(_agon.load(path, best=best, step=step))


class Policy:
    """A trained policy: weights, normalisation, stacked frames, rescaled actions and all else that acting needs.

    It takes the observations that the environment itself gives, and answers with the actions that it takes::

        policy = agon.load("results/ppo_CartPole-v1_1")
        state = None
        while not done:
            action, state = policy(observation, state)

    ``state`` is what it remembers of its episodes (recurrent state, stacked frames): begin with ``None``, give back what came.
    It is moved on in place.
    """

    def __init__(self, native: Any) -> None:
        self._native = native
        self._drawn = 0
        observation, action = native.spaces()
        #: The space of one row of observations.
        self.observation_space: gym.Space[Any] = space_of(observation)
        #: The space of one row of actions.
        self.action_space: gym.Space[Any] = space_of(action)
        #: Everything that the weight file says of itself.
        self.card: dict[str, Any] = native.card()

    def episodes(self, *, seed: int | None = None) -> _agon.Episodes:
        """A state to begin with. With a ``seed`` actions are drawn as in training, else the best ones are taken."""
        return self._native.episodes(seed)

    def aiming_at(self, target_return: float) -> Policy:
        """The same policy, aiming at another return of an episode than it was trained to: of ``dt``.

        Raises
            AgonError: if it aims at none.
        """
        return Policy(self._native.aiming_at(target_return))

    def __call__(
        self,
        observation: Any,
        state: _agon.Episodes | None = None,
        *,
        action_mask: Any = None,
        episode_start: Any = None,
        reward: Any = None,
    ) -> tuple[Any, _agon.Episodes]:
        """The actions for one observation, or for a batch of them, and the state to go on with.

        ``action_mask`` is ``[A]`` or ``[N, A]``, nonzero where an action is legal. ``episode_start`` is ``[N]``, true for the
        environments whose episode begins with this observation; without it episodes begin where ``state`` is ``None``.
        ``reward`` is a number or ``[N]``, what the last action was paid: for a policy that aims at a return (``dt``), which acts as
        if there had been no rewards where it is not told.

        Raises
            ValueError: if the observations are not of :attr:`observation_space`, naming both; or if they are not as many as
                before and the policy remembers their episodes.
        """
        if action_mask is not None and self.card["env_spaces"]["mask_len"] == 0:
            raise ValueError(f"{self.card['env']['id']} has no action masks, expected none")
        state = self.episodes() if state is None else state
        rows, is_batch = _pack(self.observation_space, observation)
        masks = None if action_mask is None else np.ascontiguousarray(action_mask, dtype=bool).reshape(-1)
        starts = None if episode_start is None else np.atleast_1d(np.ascontiguousarray(episode_start, dtype=bool))
        rewards = None if reward is None else np.atleast_1d(np.ascontiguousarray(reward, dtype=np.float64))
        actions = _unpack(self.action_space, state.act(rows.reshape(-1), len(rows), masks, starts, rewards), len(rows))
        has_parts = isinstance(self.action_space, (gym.spaces.Dict, gym.spaces.Tuple))
        if is_batch:
            return actions, state
        return (row(self.action_space, actions, 0) if has_parts else actions[0]), state

    def predict(
        self,
        observation: Any,
        state: _agon.Episodes | None = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, _agon.Episodes]:
        """As Stable-Baselines3's ``predict``, but with the best action by default.

        ``deterministic`` counts where an episode begins, with ``None`` for a state; after that the state knows. Calls that draw
        and begin anew each have a seed of their own, the same ones in every process; choose others with :meth:`episodes`.
        """
        if state is None and not deterministic:
            state = self.episodes(seed=self._drawn)
            self._drawn += 1
        return self(observation, state, episode_start=episode_start)

    def export(
        self, out: str | os.PathLike[str], *, logits: bool = False, license: str | None = None, seed: int = 0
    ) -> Path:
        """Writes the policy for other programs: as an ONNX graph (``.onnx``), or for the crate agon-policy (``.safetensors``).

        The graph takes what the environment shows and gives the best ``actions``, or with ``logits=True`` what they are chosen
        by. Beside it comes a recording of a few episodes, begun with ``seed``, to check another runtime by; its path is given
        back. ``license`` is named in the file.

        Raises
            ValueError: if the name ends in something else.
            AgonError: if a part of the policy has no such form, or the export would act differently; nothing is written then.
        """
        recording, _ = self._native.export(out, logits=logits, license=license, seed=seed)
        return Path(recording)

    def to_torch(self) -> Any:
        """The policy as a :class:`torch.nn.Module` with the same numbers; needs PyTorch.

        See :class:`agon.torch.TorchPolicy`. It has every encoder, memory and head, and stacked frames; not a program's own parts.

        Raises
            ValueError: if it has no such form, naming the part.
        """
        from agon.torch import TorchPolicy

        return TorchPolicy(*self._native.portable())

    def __repr__(self) -> str:
        card = self.card
        return f"Policy({card['algorithm']} in {card['env']['id']} after {card['env_steps']} steps)"


def packed(space: gym.Space[Any], observation: Any) -> np.ndarray:
    """Observations of a space as rows of numbers ``[N, O]``, which networks read; one observation is one row."""
    return _pack(space, observation)[0]


def _pack(space: gym.Space[Any], observation: Any) -> tuple[np.ndarray, bool]:
    """Rows of numbers, and whether there were several observations."""
    batch = _batch_size(space, observation)
    columns = _columns(space, observation, batch)
    whole_bytes = isinstance(space, gym.spaces.Box) and space.dtype == np.uint8
    rows = np.concatenate(columns, axis=1, dtype=np.uint8 if whole_bytes else np.float32, casting="unsafe")
    return np.ascontiguousarray(rows), batch is not None


def _batch_size(space: gym.Space[Any], observation: Any) -> int | None:
    """How many observations there are; none for a single one."""
    if isinstance(space, (gym.spaces.Dict, gym.spaces.Tuple)):
        keys = space.spaces.keys() if isinstance(space, gym.spaces.Dict) else range(len(space.spaces))
        try:
            sizes = {_batch_size(space.spaces[key], observation[key]) for key in keys}
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"expected an observation of {space}, got {observation!r}") from error
        if len(sizes) != 1:
            raise ValueError(f"expected as many rows in every part of an observation, got {sizes}")
        return sizes.pop()
    shape = np.shape(observation)
    if shape == space.shape:
        return None
    if shape[1:] == space.shape and shape[0] > 0:
        return shape[0]
    raise ValueError(f"expected an observation of shape {space.shape}, or a batch of them, got one of shape {shape}")


def _columns(space: gym.Space[Any], observation: Any, batch: int | None) -> list[np.ndarray]:
    if isinstance(space, gym.spaces.Dict):
        return [column for key, part in space.spaces.items() for column in _columns(part, observation[key], batch)]
    if isinstance(space, gym.spaces.Tuple):
        return [column for part, value in zip(space.spaces, observation) for column in _columns(part, value, batch)]
    values = np.asarray(observation)
    if isinstance(space, gym.spaces.Box) and space.dtype == np.uint8 and values.dtype != np.uint8:
        raise ValueError(f"expected an observation of uint8, got one of {values.dtype}")
    if not np.can_cast(values.dtype, np.float32, casting="same_kind") and values.dtype.kind not in "iub":
        raise ValueError(f"expected an observation of numbers, got one of {values.dtype}")
    return [values.reshape(1 if batch is None else batch, -1)]


def _unpack(space: gym.Space[Any], actions: np.ndarray, rows: int) -> np.ndarray:
    """Actions as the space has them, ``[N, …]``."""
    if isinstance(space, (gym.spaces.Dict, gym.spaces.Tuple)):
        return _unpack_parts(space, actions.reshape(rows, -1), rows)
    if isinstance(space, gym.spaces.Discrete):
        return actions.reshape(rows) + space.start
    return actions.reshape(rows, *space.shape).astype(space.dtype, copy=False)


def _unpack_parts(space: gym.spaces.Dict | gym.spaces.Tuple, actions: np.ndarray, rows: int) -> Any:
    """Actions of several parts, whose columns lie one after the other: those of a dict by the order of their names."""
    is_dict = isinstance(space, gym.spaces.Dict)
    names = sorted(space.spaces, key=str.encode) if is_dict else range(len(space.spaces))
    parts, start = {}, 0
    for name in names:
        part = space.spaces[name]
        end = start + _width(part)
        parts[name] = _unpack(part, actions[:, start:end], rows)
        start = end
    return {name: parts[name] for name in space.spaces} if is_dict else tuple(parts.values())


def _width(space: gym.Space[Any]) -> int:
    if isinstance(space, gym.spaces.Dict):
        return sum(_width(part) for part in space.spaces.values())
    if isinstance(space, gym.spaces.Tuple):
        return sum(_width(part) for part in space.spaces)
    return int(np.prod(space.shape, dtype=int))
