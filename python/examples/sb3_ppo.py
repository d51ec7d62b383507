"""Stable-Baselines3's PPO on Agon's CartPole: `pip install stable-baselines3`, then `python sb3_ppo.py [SEED]`.

The settings are rl-baselines3-zoo's.
"""

import sys
import time

from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from agon.sb3 import VecEnv

seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
start = time.perf_counter()
model = PPO(
    "MlpPolicy",
    VecEnv("CartPole-v1", 8),
    n_steps=32,
    batch_size=256,
    gae_lambda=0.8,
    gamma=0.98,
    n_epochs=20,
    ent_coef=0.0,
    learning_rate=lambda left: 1e-3 * left,
    clip_range=lambda left: 0.2 * left,
    seed=seed,
    device="cpu",
)
model.learn(total_timesteps=100_000)
mean, deviation = evaluate_policy(model, VecEnv("CartPole-v1", 10), n_eval_episodes=100)
print(f"mean return {mean:.1f} ± {deviation:.1f} over 100 episodes, {time.perf_counter() - start:.0f} s")
