#!/usr/bin/env bash
# Gymnasium 1.3.0: asking Blackjack-v1 for the bonus of a natural changes nothing, and nothing says so.
#
# The guess: `gymnasium.make("Blackjack-v1", natural=True)` pays 1.5 for a win with an ace and a ten, as the
# documentation of the argument says.
#
# What happens: the id is registered with `sab=True` (the rules of Sutton and Barto; the class's own default is false), and that
# argument overrules `natural` wherever both are set. No episode ever pays 1.5. With `sab=False` beside it, some do.
#
# Why it matters: who compares an agent's score with a published one of the other rule, or ports the environment,
# compares two games, and the mean returns differ too little to be noticed by eye.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "gymnasium==1.3.0" "numpy==2.3.4"
"$folder/venv/bin/python" - <<'PYTHON'
import gymnasium

def rewards(episodes=4000, **arguments):
    env = gymnasium.make("Blackjack-v1", **arguments)
    seen = {}
    for seed in range(episodes):
        env.reset(seed=seed)
        over, reward = False, 0.0
        while not over:
            _, reward, terminated, truncated, _ = env.step(0)
            over = terminated or truncated
        seen[float(reward)] = seen.get(float(reward), 0) + 1
    return dict(sorted(seen.items()))

plain = rewards()
asked = rewards(natural=True)
both = rewards(natural=True, sab=False)
print("gymnasium", gymnasium.__version__)
print("as registered:          ", plain)
print("natural=True:           ", asked)
print("natural=True, sab=False:", both)
same = plain == asked and 1.5 not in asked and 1.5 in both
print("natural alone changes nothing:", same)
raise SystemExit(0 if same else 1)
PYTHON
