#!/usr/bin/env bash
# Gymnasium 1.4.0's AtariPreprocessing over ale-py 0.12.1's environments: pictures in colour are drawn and thrown away.
#
# What one would guess: the wrapper is told to give grey pictures, which is its default, and it asks the emulator for two of
# them every four frames, the ones that it takes the maximum of; nothing else is drawn.
#
# What happens: the environment below it still draws a picture in colour for each of the four frames, because its own
# `obs_type` is "rgb" by default and a step returns an observation; the wrapper drops all four. Made with
# `obs_type="grayscale"` the environment draws four grey ones in their place, and what the wrapper gives is the same to the bit.
# Not drawing at all is not to be had: over `obs_type="ram"` the wrapper makes its buffer of the memory's shape, and fails.
#
# Why it matters here: `env.args.obs_type = "grayscale"` makes sampling from every Atari game learned in the usual way cheaper
# and changes no number; who steps the games in worker processes on few cores waits mostly for them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    gymnasium==1.4.0 ale-py==0.12.1 numpy==2.4.6 opencv-python-headless==5.0.0.93
cat > "$folder/count.py" <<'PY'
import collections
import sys
import time

import ale_py
import gymnasium
import numpy as np

STEPS = 500


class Counted:
    """An emulator that counts the pictures it is asked for."""

    def __init__(self, ale):
        self.ale, self.pictures = ale, collections.Counter()

    def __getattr__(self, name):
        found = getattr(self.ale, name)
        if not name.startswith("getScreen"):
            return found

        def counted(*arguments):
            self.pictures[name] += 1
            return found(*arguments)

        return counted


def played(count, **options):
    env = gymnasium.make("ALE/Pong-v5", frameskip=1, **options)
    pictures = None
    if count:
        env.unwrapped.ale = counter = Counted(env.unwrapped.ale)
        pictures = counter.pictures
    env = gymnasium.wrappers.AtariPreprocessing(env, frame_skip=4, noop_max=0)
    env.reset(seed=1)
    if count:
        pictures.clear()
    begun = time.perf_counter()
    seen = [env.step(step % 6)[0].copy() for step in range(STEPS)]
    return np.array(seen), dict(pictures or {}), (time.perf_counter() - begun) / STEPS * 1e6


print(f"gymnasium {gymnasium.__version__}, ale-py {ale_py.__version__}, {STEPS} steps of four frames")
usual, drawn, _ = played(True)
grey, drawn_grey, _ = played(True, obs_type="grayscale")
times = [[played(False, **options)[2] for options in ({}, {"obs_type": "grayscale"})] for _ in range(5)]
print(f"  as usual:             {drawn}, {min(first for first, _ in times):.0f} µs a step at best")
print(f"  obs_type='grayscale': {drawn_grey}, {min(second for _, second in times):.0f} µs a step at best")
print(f"  the same pictures: {np.array_equal(usual, grey)}")
as_seen = drawn == {"getScreenRGB": 4 * STEPS, "getScreenGrayscale": 2 * STEPS}
sys.exit(0 if as_seen and drawn_grey == {"getScreenGrayscale": 6 * STEPS} and np.array_equal(usual, grey) else 1)
PY
"$folder/venv/bin/python" "$folder/count.py" 2> /dev/null
