#!/usr/bin/env bash
# Minari 0.5.4: combining a data set of exact images with one of JPEG images makes the exact ones JPEG, and forgets every seed.
#
# The guess: `combine_datasets` puts episodes together as they are. One of the sets was written with `jpeg_encoding=False`
# because its images must stay exact; where the other was not, they cannot be combined, or there is a warning.
#
# What happens: the combined set has `jpeg_encoding` true if any of its parts has, whichever comes first, and the exact frames
# are encoded on the way. Nothing is said. The episodes' seeds, which both parts have, are not in the combined set.
#
# Why it matters: frames of grid worlds, of segmentations and of MinAtar-like planes say something by their exact values; after
# JPEG they are noise around them, and a policy that was trained on the combination sees other observations than it acts on.
# Without seeds no episode can be played again to find out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "minari[hdf5]==0.5.4" "pillow==13.0.0" "numpy==2.4.6" "gymnasium==1.4.0"
MINARI_DATASETS_PATH="$folder/sets" "$folder/venv/bin/python" - <<'PYTHON'
import warnings

import gymnasium
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

generator = np.random.default_rng(0)
spaces = {
    "observation_space": gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8),
    "action_space": gymnasium.spaces.Discrete(2),
}


def episode():
    return EpisodeBuffer(
        observations=generator.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8),
        actions=np.zeros(3, dtype=np.int64),
        rewards=[0.0] * 3,
        terminations=[False, False, True],
        truncations=[False] * 3,
        seed=7,
    )


def told(data, index, frames):
    exact = bool(np.array_equal(list(data.iterate_episodes())[index].observations, frames))
    return exact, "seed" in list(data.storage.get_episode_metadata([index]))[0]


kept = episode()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    exact = minari.create_dataset_from_buffers("images/exact-v0", buffer=[kept], jpeg_encoding=False, **spaces)
    other = minari.create_dataset_from_buffers("images/default-v0", buffer=[episode()], **spaces)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    both = minari.combine_datasets([exact, other], new_dataset_id="images/both-v0")
print("minari", minari.__version__)
before, after = told(exact, 0, kept.observations), told(both, 0, kept.observations)
print("images exact, seed there: before", before, "after", after, "warnings", len(said))
raise SystemExit(0 if (before, after, len(said)) == ((True, True), (False, False), 0) else 1)
PYTHON
