#!/usr/bin/env bash
# Gymnasium 1.4.0 with ale-py 0.12.1: `make_vec` of an Atari game does not give copies of what `make` gives, and its rewards are signs.
#
# The guess: `gymnasium.make_vec("ALE/MsPacman-v5", num_envs=n)` is `n` times `gymnasium.make("ALE/MsPacman-v5")`: frames of 210 × 160
# in colour, and the game's own points. Preprocessing is asked for, by a wrapper, as it has always been.
#
# What happens: since ale-py 0.11.0 the games are registered with an entry point for vectors, which `make_vec` takes unless it is
# told `vectorization_mode="sync"` or `"async"`. That one preprocesses by itself: four grey frames of 84 × 84, up to 30 random
# no-operations, the fire button, and rewards clipped to −1, 0 and 1. Ms. Pac-Man's dots are worth 1 instead of 10. With ale-py
# 0.10.2 the same line gave copies.
#
# Why it matters: scores that a vector's statistics report are no scores of the game. In Pong and for most bricks of Breakout they
# happen to be the same, so that a check with those games finds nothing; in the others an evaluation is too low by a factor of ten
# or a hundred beside published returns, and adding the usual wrappers preprocesses twice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "gymnasium==1.4.0" "ale-py==0.12.1" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON' 2> /dev/null
import ale_py
import gymnasium
import numpy as np

gymnasium.register_envs(ale_py)


def play(env, steps=2000):
    """The shape of one observation and the rewards that random actions saw."""
    rng = np.random.default_rng(0)
    env.reset(seed=1)
    seen = set()
    for _ in range(steps):
        _, reward, *_ = env.step(rng.integers(9, size=1))
        seen.add(float(reward[0]))
    return env.observation_space.shape[1:], sorted(seen)


print("gymnasium", gymnasium.__version__, "ale-py", ale_py.__version__)
single = gymnasium.make("ALE/MsPacman-v5").observation_space.shape
copies = play(gymnasium.make_vec("ALE/MsPacman-v5", num_envs=1, vectorization_mode="sync"))
default = play(gymnasium.make_vec("ALE/MsPacman-v5", num_envs=1))
print("make:                     observations", single)
print("make_vec, mode sync:      observations", copies[0], "rewards", copies[1])
print("make_vec, nothing asked:  observations", default[0], "rewards", default[1])
holds = copies[0] == single and max(copies[1]) >= 10 and default[0] == (4, 84, 84) and max(default[1]) == 1
print("make_vec preprocesses and clips by itself:", holds)
raise SystemExit(0 if holds else 1)
PYTHON
