#!/usr/bin/env bash
# Gymnasium 1.4.0 (and 1.3.0): whether `reset` takes a seed is decided by what its catch-all parameter is called.
#
# What one would guess: a wrapper or environment whose `reset` takes any keyword argument and hands it on can be seeded, and the
# checkers see it, whatever name stands behind the two stars.
#
# What happens: with `**kwargs` all is well. With `**arguments`, the same function to the letter, `check_env` refuses the
# environment because "the `reset` method does not provide a `seed`", and an environment made by `gymnasium.make` warns at its
# first reset that seeds and options cannot be passed, both of which it takes. The signature is asked for a parameter that is
# called "kwargs"; its kind, or calling it, would tell.
#
# Why it matters here: wrappers are written this way all the time, and who checks environments before a run, or in a test suite
# that turns warnings into errors, is told that runs cannot be repeated which can. Name the parameters (`seed=None, options=None`).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/check.py" <<'PY'
import sys
import warnings

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env


class Walk(gymnasium.Env):
    """A walk on a line from where the seed says."""

    def __init__(self):
        self.observation_space = gymnasium.spaces.Box(-100.0, 100.0, (1,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)

    def begin(self, seed=None, options=None):
        super().reset(seed=seed, options=options)
        self.place = np.float32(self.np_random.normal())
        return self.step(0)[0], {}

    def step(self, action):
        self.place += np.float32(action)
        return np.array([self.place], np.float32), 0.0, bool(self.place > 50), False, {}


class ByUsualName(Walk):
    def reset(self, **kwargs):
        return self.begin(**kwargs)


class ByOtherName(Walk):
    def reset(self, **arguments):
        return self.begin(**arguments)


def told(kind):
    """What the checker says, how many warnings a first reset gives, and whether seeds are taken."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_env(kind(), skip_render_check=True)
        verdict = "accepted"
    except Exception as error:  # noqa: BLE001
        verdict = f"{type(error).__name__}: {error}"
    gymnasium.register("Named-v0", entry_point=kind)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        env = gymnasium.make("Named-v0")
        first = env.reset(seed=7)[0]
    about_reset = [str(w.message) for w in said if "Env.reset" in str(w.message)]
    repeats = np.array_equal(first, env.reset(seed=7)[0])
    del gymnasium.registry["Named-v0"]
    return verdict, len(about_reset), repeats


print(f"gymnasium {gymnasium.__version__}")
usual, other = told(ByUsualName), told(ByOtherName)
for name, (verdict, warned, repeats) in [("**kwargs", usual), ("**arguments", other)]:
    print(f"  reset(self, {name}): {verdict}; {warned} warnings about reset; the same seed, the same start: {repeats}")
refused = other[0].startswith("Error") and "does not provide" in other[0] and other[1] == 2 and other[2]
sys.exit(0 if usual == ("accepted", 0, True) and refused else 1)
PY
for version in 1.3.0 1.4.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "gymnasium==$version" numpy==2.4.6
    "$folder/$version/bin/python" "$folder/check.py" 2> /dev/null
done
