"""What the Python peers share: the workloads, one thread, the timed region and the one line of JSON they print.

A peer calls `main` with its name and, for each algorithm, a function from a workload and `make_env` to a `Peer`.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import logging
import pathlib
import random
import statistics
import time
import typing
import warnings

import gymnasium as gym
import numpy as np
import torch

SEED = 42
WORKLOADS = json.loads(pathlib.Path(__file__).with_name("workloads.json").read_text(encoding="utf-8"))


@dataclasses.dataclass
class Peer:
    run: typing.Callable[[int], None]
    """Collects that many transitions more and learns from them, going on where it stopped."""
    parameters: int
    """Trainable parameters."""
    packages: list[str]
    """Packages whose versions are reported."""
    compile_steps: int = 0
    """Transitions that follow the warm-up untimed, where the first updates compile programs."""
    note: str = ""
    """What differs from the peer as it is published."""


class Recorder(gym.Wrapper):
    """Notes the returns of episodes, in checks only: timed runs have none."""

    def __init__(self, env, returns):
        super().__init__(env)
        self.returns, self.total = returns, 0.0

    def reset(self, **options):
        self.total = 0.0
        return self.env.reset(**options)

    def step(self, action):
        result = self.env.step(action)
        self.total += float(result[1])
        if result[2] or result[3]:
            self.returns.append(self.total)
        return result


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters() if p.requires_grad)


def main(name, makers):
    parser = argparse.ArgumentParser()
    parser.add_argument("algorithm", choices=list(makers))
    parser.add_argument("--check", action="store_true", help="train longer and report returns instead of times")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    random.seed(options.seed)
    np.random.seed(options.seed)
    torch.manual_seed(options.seed)
    workload = WORKLOADS[options.algorithm]
    workload["seed"] = options.seed
    returns = []

    def make_env():
        env = gym.make(workload["env"])
        return Recorder(env, returns) if options.check else env

    peer = makers[options.algorithm](workload, make_env)
    if peer.parameters != workload["parameters"]:
        raise SystemExit(f"{name} has {peer.parameters} parameters, expected {workload['parameters']}")
    found = {"peer": name, "algorithm": options.algorithm, "parameters": peer.parameters, "note": peer.note}
    packages = ["gymnasium", *peer.packages]
    found["versions"] = {package: importlib.metadata.version(package) for package in packages}
    peer.run(workload["warmup"])
    if peer.compile_steps:
        peer.run(peer.compile_steps)
    steps = workload["check"]["steps"] if options.check else workload["steps"]
    start = time.perf_counter()
    peer.run(steps)
    found |= {"steps": steps, "seconds": time.perf_counter() - start}
    if options.check:
        found["mean_return"] = statistics.fmean(returns[-workload["check"]["episodes"] :])
    print(json.dumps(found))
