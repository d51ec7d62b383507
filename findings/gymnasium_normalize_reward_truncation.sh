#!/usr/bin/env bash
# Gymnasium 1.4.0: `NormalizeReward` sums discounted rewards across episodes that a time limit cut, except where a vector resets at once.
#
# The guess: the return by whose deviation rewards are divided is an episode's: it begins at 0 when an episode begins, however the
# one before has ended, as `VecNormalize` of Stable-Baselines3 has it. One environment, and a vector of it in either autoreset mode,
# give the same scale.
#
# What happens: `reset` does not touch the sum, and only `terminated` does, one step early: the last reward of a terminated episode
# is counted alone and carried into the next. After `truncated` nothing is dropped, so that with time limits there is one endless
# episode. The vector wrapper does the same with autoreset mode NEXT_STEP, its default; in 1.4 SAME_STEP was mended and begins anew.
# With rewards of 1 and a limit of 10 steps no discounted return exceeds 9.6 (gamma 0.99); the sum settles at 100, and its deviation
# goes by how long the run is: here 14.9 where it should be 2.7.
#
# Why it matters: tasks that always end by their limit (Pendulum, Reacher, most robots) are the ones rewards are normalised for.
# The same hyperparameters see rewards several times smaller in one autoreset mode than in the other, and no error is told.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "gymnasium==1.4.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import NormalizeReward, TimeLimit
from gymnasium.wrappers.vector import NormalizeReward as NormalizeRewards

LIMIT, GAMMA, EPISODES = 10, 0.99, 200


class One(gymnasium.Env):
    """Pays 1 a step and never ends by itself."""

    observation_space = gymnasium.spaces.Discrete(1)
    action_space = gymnasium.spaces.Discrete(1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, 1.0, False, False, {}


def limited():
    return TimeLimit(One(), LIMIT)


def single():
    env = NormalizeReward(limited(), gamma=GAMMA)
    largest = 0.0
    for _ in range(EPISODES):
        env.reset()
        truncated = False
        while not truncated:
            *_, truncated, _ = env.step(0)
            largest = max(largest, float(env.discounted_reward[0]))
    return largest, float(env.return_rms.var) ** 0.5


def vector(mode, steps):
    env = NormalizeRewards(SyncVectorEnv([limited], autoreset_mode=mode), gamma=GAMMA)
    env.reset()
    largest = 0.0
    for _ in range(EPISODES * steps):
        env.step(np.zeros(1, dtype=int))
        largest = max(largest, float(env.accumulated_reward[0]))
    return largest, float(env.return_rms.var) ** 0.5


print("gymnasium", gymnasium.__version__)
bound = sum(GAMMA**step for step in range(LIMIT))
print(f"largest discounted return of an episode: {bound:.2f}")
rows = {
    "one environment": single(),
    "vector, NEXT_STEP": vector(AutoresetMode.NEXT_STEP, LIMIT + 1),
    "vector, SAME_STEP": vector(AutoresetMode.SAME_STEP, LIMIT),
}
for name, (largest, deviation) in rows.items():
    print(f"{name:18} largest sum {largest:6.2f}, deviation that rewards are divided by {deviation:5.2f}")
one, following, same = rows.values()
holds = min(one[0], following[0]) > 5 * bound and same[0] <= bound and min(one[1], following[1]) > 3 * same[1]
print("sums go on across time limits, but for SAME_STEP:", holds)
raise SystemExit(0 if holds else 1)
PYTHON
