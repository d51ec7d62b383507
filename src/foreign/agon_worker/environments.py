"""The environments of a process: made, seeded, stepped and drawn, and what is shared of them."""

import functools
import mmap
import os
import random
import sys
import traceback

import numpy as np
from gymnasium import spaces

from agon_worker import Unfit, actions, making
from agon_worker.spaces import leaf_is_bytes, packed_len, space_of, writer

#: Entries of the infos that are metrics where nobody says which, if a reset gives them.
SUCCESS = ("is_success", "success")
#: Episodes after which it is said which of the metrics that were asked for no info has had.
EPISODES_UNTIL_SAID = 100
#: Where an environment says which actions are legal: the method of its own or of a wrapper, or the entry of its infos.
METHOD, ENTRY = "action_masks", "action_mask"


class Environments:
    """Environments of one kind."""

    def __init__(self):
        self.envs = []
        self.asked = None  # The row of the one that is being asked something.

    def make(self, maker, module, args, num_envs, action_masks, metrics):
        """Makes the environments; gives what they are."""
        making.find_modules()
        make = making.maker(maker, module, args)
        for _ in range(num_envs):
            env = make()
            if any(env is other for other in self.envs):
                raise Unfit("expected a new environment of every call, got the same one twice")
            self.envs.append(env)
        first = self.envs[0]
        self.spaces = first.observation_space, first.action_space
        described = {
            "observation_space": space_of(first.observation_space, "observation space"),
            "action_space": actions.space_of(first.action_space),
            "versions": making.versions(first, module),
            "remarks": making.remarks(first),
        }
        # What infos hold is known only when there is one.
        info = self.restart(0, seed=0)[1] if action_masks is None or metrics is None else None
        info, self.asked = info if isinstance(info, dict) else {}, None
        self.choose_masks(action_masks, info)
        self.metric_names = [name for name in SUCCESS if name in info] if metrics is None else metrics
        if len(set(self.metric_names)) != len(self.metric_names):
            raise Unfit(f"env.metrics: expected names that differ, got {self.metric_names}")
        self.unseen, self.episodes = set(self.metric_names), 0
        return {**described, "action_masks": self.has_masks, "metrics": self.metric_names}

    def choose_masks(self, wanted, info):
        self.mask_methods, self.has_masks = [], False
        _, kind, _ = actions.reader(self.spaces[1])
        if wanted and kind != np.uint32:
            raise Unfit(f"env.action_masks: expected an action space of choices, got {self.spaces[1]}")
        if wanted is False or kind != np.uint32:
            return
        if self.envs[0].has_wrapper_attr(METHOD):
            self.mask_methods = [env.get_wrapper_attr(METHOD) for env in self.envs]
        self.has_masks = bool(wanted or self.mask_methods or ENTRY in info)

    def map(self, path, size, num_envs, actions, active, rewards, terminated, truncated, metrics, masks, observations):
        """Opens the shared file, whose parts are at the given offsets in bytes."""
        with open(path, "r+b") as file:
            shared = mmap.mmap(file.fileno(), size)
        os.unlink(path)

        def part(offset, width, kind):
            return np.ndarray((num_envs, width), kind, shared, offset)

        self.share(part, actions, masks, observations)
        self.active = part(active, 1, np.uint8)[:, 0]
        self.rewards = part(rewards, 1, np.float64)[:, 0]
        self.terminated = part(terminated, 1, np.uint8)[:, 0]
        self.truncated = part(truncated, 1, np.uint8)[:, 0]
        self.metrics = part(metrics, len(self.metric_names), np.float64)

    def share(self, part, at_actions, at_masks, at_observations):
        observation_space, action_space = self.spaces
        kind = np.uint8 if leaf_is_bytes(observation_space) else np.float32
        rows = part(at_observations, packed_len(observation_space), kind)
        self.writers = [writer(observation_space, row, "observation") for row in rows]
        width, kind, self.read_actions = actions.reader(action_space)
        self.actions = part(at_actions, width, kind)
        if self.has_masks:
            path = f"{METHOD}()" if self.mask_methods else f"info[{ENTRY!r}]"
            masks = part(at_masks, sum(actions.choices_of(action_space)), np.uint8)
            self.mask_writers = [functools.partial(actions.write_mask, action_space, row, path) for row in masks]

    def step(self):
        count = len(self.envs)
        rewards, terminated, truncated = [0.0] * count, [False] * count, [False] * count
        values, active = self.read_actions(self.actions), self.active.tolist()
        for row, env in enumerate(self.envs):
            if not active[row]:
                continue
            self.asked = row
            outcome = env.step(values[row])
            if len(outcome) != 5:
                expected = "expected five values from step (observation, reward, terminated, truncated, info)"
                raise Unfit(f"{expected}, got {len(outcome)}")
            observation, reward, ended, cut, info = outcome
            self.writers[row](observation)
            rewards[row] = number(reward)
            terminated[row] = flag(ended, "terminated")
            truncated[row] = flag(cut, "truncated")
            self.take_info(row, info, terminated[row] or truncated[row])
        self.rewards[:], self.terminated[:], self.truncated[:] = rewards, terminated, truncated

    def take_info(self, row, info, is_over=False):
        for i, name in enumerate(self.metric_names):
            if name in info:
                self.metrics[row, i] = metric(info[name], name)
                self.unseen.discard(name)
        if is_over and self.unseen:
            self.episodes += 1
            if self.episodes == EPISODES_UNTIL_SAID:
                self.say_unseen(info)
        if not self.has_masks:
            return
        if self.mask_methods:
            mask = self.mask_methods[row]()
        elif ENTRY in info:
            mask = info[ENTRY]
        elif is_over:
            mask = np.ones(self.mask_writers[row].args[1].shape, np.uint8)  # nothing is done any more
        else:
            raise Unfit(f"info: expected an {ENTRY!r} as in the first one (env.action_masks), got {list(info)}")
        self.mask_writers[row](mask)

    def say_unseen(self, info):
        """An entry that comes in some episodes only counts as 0 in the others; one that never comes may be misspelt."""
        for name in sorted(self.unseen):
            said = f"env.metrics: no info of {self.episodes} episodes has had {name!r}, which counts as 0 then"
            print(f"warning: {said}; the last one has {sorted(map(str, info))}", file=sys.stderr, flush=True)

    def reset(self, seeds):
        # Whoever draws from the generators of the whole process is at least repeatable.
        random.seed(seeds[0])
        np.random.seed(seeds[0] % 2**32)
        for row, seed in enumerate(seeds):
            self.begin(row, seed=seed)

    def reset_some(self):
        for row in range(len(self.envs)):
            if self.active[row]:
                self.begin(row)

    def begin(self, row, **options):
        observation, info = self.restart(row, **options)
        self.writers[row](observation)
        self.metrics[row] = 0.0
        self.take_info(row, info)

    def restart(self, row, **options):
        self.asked = row
        outcome = self.envs[row].reset(**options)
        if not (isinstance(outcome, tuple) and len(outcome) == 2):
            raise Unfit(f"expected two values from reset (observation, info), got {type(outcome).__name__}")
        return outcome

    def render(self, env):
        """A picture as height, width (four bytes each) and pixels; empty if there is none."""
        self.asked = env
        if self.envs[env].render_mode != "rgb_array":
            return b""
        try:
            frame = np.ascontiguousarray(self.envs[env].render(), np.uint8)
        except Exception:
            traceback.print_exc()  # The other side only hears that there is no picture.
            return b""
        if frame.ndim != 3 or frame.shape[2] != 3:
            raise Unfit(f"expected a picture of shape (height, width, 3), got {frame.shape}")
        height, width, _ = frame.shape
        return height.to_bytes(4, "little") + width.to_bytes(4, "little") + frame.tobytes()

    def close(self):
        for env in self.envs:
            try:
                env.close()
            except Exception:
                traceback.print_exc()


def number(reward):
    try:
        return float(reward)
    except (TypeError, ValueError):
        raise Unfit(f"reward: expected a number, got {reward!r}") from None


def metric(value, name):
    try:
        found = float(np.asarray(value).item())
    except (TypeError, ValueError):
        found = np.nan
    if not np.isfinite(found):
        raise Unfit(f"info[{name!r}]: expected a finite number (env.metrics), got {value!r}")
    return found


def flag(value, name):
    try:
        return bool(value)
    except (TypeError, ValueError):
        raise Unfit(f"{name}: expected true or false, got {value!r}") from None
