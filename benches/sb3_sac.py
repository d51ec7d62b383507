#!/usr/bin/env python3
"""Trains Stable-Baselines3's SAC with its defaults on a Gymnasium environment, for comparison with `results/foreign`.

    python benches/sb3_sac.py Hopper-v5 100000 --seeds 1 2 3

Prints the mean return of 100 greedy episodes at the end of training and the training's speed, a line a seed. Needs
`stable-baselines3` and the environment's packages; one thread each.
"""

import argparse
import time

import gymnasium
import mujoco
import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("env")
parser.add_argument("steps", type=int)
parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
options = parser.parse_args()
torch.set_num_threads(1)
print(
    f"stable-baselines3 {stable_baselines3.__version__}, torch {torch.__version__}, "
    f"gymnasium {gymnasium.__version__}, mujoco {mujoco.__version__}",
    flush=True,
)
scores = []
for seed in options.seeds:
    model = stable_baselines3.SAC("MlpPolicy", gymnasium.make(options.env), seed=seed, device="cpu")
    began = time.perf_counter()
    model.learn(options.steps, log_interval=None)
    seconds = time.perf_counter() - began
    env = Monitor(gymnasium.make(options.env))
    env.reset(seed=10_000 + seed)
    returns, lengths = evaluate_policy(model, env, n_eval_episodes=100, return_episode_rewards=True)
    scores.append(np.mean(returns))
    print(
        f"seed {seed}: {np.mean(returns):.1f} ± {np.std(returns):.1f} over 100 greedy episodes "
        f"(mean length {np.mean(lengths):.0f}), {options.steps / seconds:.0f} steps/s",
        flush=True,
    )
print(f"mean of seeds {np.mean(scores):.1f}")
