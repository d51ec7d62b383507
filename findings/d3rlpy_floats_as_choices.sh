#!/usr/bin/env bash
# d3rlpy 2.8.1: data whose continuous actions all lie at whole numbers are taken for data of choices.
#
# The guess: actions of type float32 and shape [N, 1] are continuous; an array of integers of shape [N] would be choices.
#
# What happens: `MDPDataset` calls an action space discrete if every action equals its integer part, whatever the type. A controller that
# is saturated (always -2 or 2 in Pendulum, -1 or 1 in most robots) makes such data: the action space is "discrete" with the largest value
# plus one as its size, 3 for torques of -2 and 2. Multiply the actions by 0.77 and the same data are continuous.
#
# Why it matters: bang-bang policies are what many tasks come to, and short data sets of them are common. TD3+BC, IQL or SAC then refuse the
# data with an assertion about action spaces, and what takes choices learns from "choice -2". `action_space=` and `action_size=` say it by hand.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "d3rlpy==2.8.1" "numpy==2.4.6"
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON' | grep -v "determined"
import d3rlpy
import numpy as np

STEPS = 50
observations = np.random.default_rng(0).normal(size=(STEPS, 3)).astype(np.float32)
actions = np.where(np.arange(STEPS) % 3 == 0, -2.0, 2.0).astype(np.float32)[:, None]
last = np.zeros(STEPS, np.float32)
last[-1] = 1.0


def told(actions):
    data = d3rlpy.dataset.MDPDataset(observations, actions, np.ones(STEPS, np.float32), last)
    return data.dataset_info.action_space.name, data.dataset_info.action_size


saturated, other = told(actions), told(0.77 * actions)
print("d3rlpy", d3rlpy.__version__)
print("float32 actions of -2 and 2:", saturated, "of -1.54 and 1.54:", other)
raise SystemExit(0 if (saturated, other) == (("DISCRETE", 3), ("CONTINUOUS", 1)) else 1)
PYTHON
