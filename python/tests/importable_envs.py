"""Environments that worker processes can import."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Lever(gym.Env):
    """Pays for the action that is its seed's; `size` is how many there are."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, size: int = 2, fault: str = "") -> None:
        self.action_space = spaces.Discrete(size)
        self.fault = fault

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        if self.fault:
            raise ValueError(self.fault)
        self.t += 1
        return np.zeros(1, np.float32), float(action == 1), self.t == 5, False, {}


def make_lever(size: int = 2) -> gym.Env:
    return Lever(size)
