#!/usr/bin/env bash
# In a vector of Gymnasium the type of an info's array is that of the first environment that reports it: thirds become zeros.
#
# One would guess that `infos["prob"]` of FrozenLake in a SyncVectorEnv holds what its environments report: 1/3 for a step on
# ice. An info's array is made when the first environment's value arrives, with the type of that value, and later values are
# cast to it without a word. An environment that has just been reset reports the integer 1, so in every tick in which the
# first one is reset (next-step mode) the array is one of integers, and the 1/3 of all others arrives as 0.
# Seen with Gymnasium 1.4.0 (2026-11).
#
# Why it matters: whoever weights by such a number (importance of a transition, probabilities of a model, a cost or a distance
# that happens to be whole in environment 0) trains on zeros now and then, with the right shape and no warning, and only for
# some orders of environments. Infos should be read as exact only if every environment reports the same type.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check gymnasium==1.4.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

print("gymnasium", gymnasium.__version__, "numpy", np.__version__)
make = lambda: gymnasium.make("FrozenLake-v1", is_slippery=True)
envs = SyncVectorEnv([make, make], autoreset_mode=AutoresetMode.NEXT_STEP)
alone = make()
alone.reset(seed=0)
print("one environment reports", alone.step(2)[4])
envs.reset(seed=0)
lost = False
ended = np.zeros(2, dtype=bool)
for tick in range(500):
    _, _, terminated, truncated, infos = envs.step(np.array([2, 1]))
    if ended[0] and not ended[1]:
        print(f"tick {tick}: environment 0 was reset, prob = {infos['prob']} of {infos['prob'].dtype}")
        lost = infos["prob"].dtype.kind == "i" and infos["prob"][1] == 0
        break
    ended = terminated | truncated
print("lost the third of environment 1:", lost)
sys.exit(0 if lost else 1)
PY
