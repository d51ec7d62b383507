#!/usr/bin/env bash
# Minari 0.5.4: an episode of more than 32,767 steps, written as Arrow or Parquet, comes back cut, and so do the ones after it.
#
# The guess: a data set gives back the episodes that were put into it, whichever of its three layouts it is kept in; or it refuses.
#
# What happens: the writer hands each episode to pyarrow, which cuts what is longer than 32,768 rows into several record batches.
# The reader pairs the k-th episode with the k-th batch. The first episode ends after 32,767 steps, the second one is the rest
# of the first, the third one is the second, and the last is gone. There is no error and no warning, `total_steps` is still
# right, and in HDF5 all of it is as it was.
#
# Why it matters: episodes of physics without a time limit, of Atari without skipped frames, and of robots' logs are that long.
# Whoever learns from them learns from transitions that never happened, and returns of episodes are wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "minari[hdf5,arrow]==0.5.4" "pillow==13.0.0" "numpy==2.4.6" "gymnasium==1.4.0"
MINARI_DATASETS_PATH="$folder/sets" "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import gymnasium
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

LENGTHS = [40_000, 10, 20]


def episode(number, steps):
    """Observations count from a number that says which episode it is."""
    return EpisodeBuffer(
        observations=np.arange(steps + 1, dtype=np.float32)[:, None] + 100_000 * number,
        actions=np.zeros(steps, dtype=np.int64),
        rewards=[0.0] * steps,
        terminations=[False] * (steps - 1) + [True],
        truncations=[False] * steps,
    )


print("minari", minari.__version__)
found = {}
for layout in ("hdf5", "arrow", "parquet"):
    written = minari.create_dataset_from_buffers(
        f"long/{layout}-v0",
        buffer=[episode(number, steps) for number, steps in enumerate(LENGTHS)],
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32),
        action_space=gymnasium.spaces.Discrete(2),
        data_format=layout,
    )
    read = [(len(e.actions), float(e.observations[0, 0])) for e in minari.load_dataset(written.id).iterate_episodes()]
    found[layout] = [steps for steps, _ in read]
    print(f"{layout:8} total_steps {written.total_steps}, lengths and first observations {read}")
cut = [32_767, 7_232, 10]
raise SystemExit(0 if found == {"hdf5": LENGTHS, "arrow": cut, "parquet": cut} else 1)
PYTHON
