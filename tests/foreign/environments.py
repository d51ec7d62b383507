"""Environments that the tests of foreign environments register."""

import os
import signal
import time

import gymnasium
import numpy as np
from gymnasium import spaces


class Faulty(gymnasium.Env):
    """Fails as it is told when action 1 is taken, if it was seeded with 1."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, fault):
        if fault == "make":
            raise RuntimeError("no lever")
        self.fault, self.is_faulty = fault, False

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.is_faulty = seed == 1
        return np.zeros(2, np.float32), {}

    def step(self, action):
        observation, reward = np.zeros(2, np.float32), 0.0
        fault = self.fault if self.is_faulty and action == 1 else None
        if fault == "raise":
            raise ValueError("the lever is stuck")
        if fault == "shape":
            observation = np.zeros(3, np.float32)
        if fault == "dtype":
            observation = np.zeros(2, np.complex128)
        if fault == "nan":
            observation[1] = np.nan
        if fault == "reward":
            reward = float("nan")
        if fault == "text":
            reward = "much"
        if fault == "four":
            return observation, reward, False, {}
        if fault == "leave":
            raise SystemExit(4)
        if fault == "exit":
            os._exit(3)
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "hang":
            time.sleep(1000)
        return observation, reward, False, False, {}


class Mixed(gymnasium.Env):
    """Shows its last action in a space of all kinds."""

    observation_space = spaces.Dict(
        {
            "pair": spaces.Box(-1.0, 1.0, (2,), np.float64),
            "last": spaces.Tuple([spaces.Discrete(5, start=-2), spaces.MultiDiscrete([3, 4], start=[1, 0])]),
            "bits": spaces.MultiBinary(3),
        }
    )
    action_space = spaces.MultiDiscrete([3, 4], start=[1, 0])

    def shown(self, action):
        last = (action[0] - 3, action)
        return {"pair": np.array([0.25, -0.5]), "last": last, "bits": np.array([1, 0, 1], np.int8)}

    def reset(self, *, seed=None, options=None):
        return self.shown(np.array([1, 0])), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return self.shown(action), 0.0, False, False, {}


class Picture(gymnasium.Env):
    """Shows bytes, and takes actions of double precision."""

    observation_space = spaces.Box(0, 255, (2, 4, 3), np.uint8)
    action_space = spaces.Box(-0.1, 0.1, (2,), np.float64)

    def shown(self):
        return np.arange(24, dtype=np.uint8).reshape(2, 4, 3)

    def reset(self, *, seed=None, options=None):
        return self.shown(), {}

    def step(self, action):
        return self.shown(), float(self.action_space.contains(action)), False, False, {}


class Text(Picture):
    """Shows what no network reads."""

    observation_space = spaces.Dict({"word": spaces.Text(5)})


class Pid(gymnasium.Env):
    """Shows the number of its process, and leaves a file of that name."""

    observation_space = spaces.Box(0, 1e9, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, folder=None):
        if folder is not None:
            open(os.path.join(folder, f"pid-{os.getpid()}"), "w").close()

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.array([os.getpid()], np.float32), {}

    def step(self, action):
        self.t += 1
        return np.array([os.getpid()], np.float32), 1.0, self.t == 10, False, {}


class Masked(gymnasium.Env):
    """Allows the actions from its step on; an episode is a success if its first action was 3."""

    observation_space = spaces.Box(0.0, 9.0, (1,), np.float32)
    action_space = spaces.Discrete(4)

    def __init__(self, fault=None):
        self.fault = fault

    def mask(self):
        if self.fault == "shape" and self.t == 1:
            return np.ones(3, np.int8)
        if self.fault == "dtype" and self.t == 1:
            return np.full(4, 0.5)
        if self.fault == "nothing" and self.t == 1:
            return np.zeros(4, np.int8)
        return (np.arange(4) >= self.t).astype(np.int8)

    def reset(self, *, seed=None, options=None):
        self.t, self.first = 0, None
        return np.zeros(1, np.float32), {"action_mask": self.mask(), "success": False}

    def step(self, action):
        assert action >= self.t, (action, self.t)
        self.first = action if self.t == 0 else self.first
        self.t += 1
        is_over = self.t == 4
        info = {} if is_over else {"action_mask": self.mask()}
        if is_over:
            info |= {"success": np.bool_(self.first == 3), "first": np.array([self.first])}
        if self.fault == "missing":
            info.pop("action_mask", None)
        if self.fault == "metric":
            info["first"] = "three"
        return np.array([self.t], np.float32), float(self.first == 3), is_over, False, info


class Method(gymnasium.Env):
    """Says by a method that action (0, t) is legal after t steps, alone."""

    observation_space = spaces.Box(0.0, 9.0, (1,), np.float32)
    action_space = spaces.MultiDiscrete([2, 3])

    def action_masks(self):
        return [np.array([True, False]), np.arange(3) == self.t]

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action) and action.tolist() == [0, self.t], action
        self.t = (self.t + 1) % 3
        return np.zeros(1, np.float32), 1.0, False, False, {}


class Parts(gymnasium.Env):
    """Takes an action of several parts, and shows it."""

    observation_space = spaces.Box(-99.0, 99.0, (5,), np.float32)
    SPACES = {
        "choices": {
            "move": spaces.Discrete(3, start=-1),
            "aim": spaces.Tuple([spaces.MultiBinary(1), spaces.Box(np.array([-2, 5]), np.array([1, 9]), dtype=np.int16)]),
        },
        "numbers": {"b": spaces.Box(-1.0, 2.0, (), np.float64), "a": spaces.Box(-0.1, 0.1, (2, 2), np.float32)},
        "mixed": {"move": spaces.Discrete(3), "push": spaces.Box(-1.0, 1.0, (1,), np.float32)},
        "wide": {"x": spaces.Box(0, 4096, (1,), np.int32)},
    }

    def __init__(self, kind):
        self.action_space = spaces.Dict(self.SPACES[kind])

    def reset(self, *, seed=None, options=None):
        return np.zeros(5, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action) and list(action) == list(self.action_space.spaces), action
        flat = spaces.flatten(self.action_space, action) if "b" in action else None
        shown = flat if flat is not None else [action["move"], *action["aim"][0], *action["aim"][1], 0]
        return np.array(shown, np.float32), 0.0, False, False, {}


for kind in (Faulty, Mixed, Picture, Text, Pid, Masked, Method, Parts):
    gymnasium.register(f"{kind.__name__}-v0", entry_point=kind)
