#!/usr/bin/env bash
# Minari 0.5.4: after `pip install "minari[hdf5]"`, or `"minari[all]"`, no data set can be made.
#
# The guess: the extra of a layout installs what the layout needs, above all that of the default one.
#
# What happens: since images can be JPEG, both storages import Pillow when they are loaded, images or not, and no extra names it.
# The first data set that is created ends in `ModuleNotFoundError: No module named 'PIL'`, and its id is taken from then on: asked
# for again, it "already exists". Nobody notices who has Pillow for another reason, as matplotlib or imageio bring it.
#
# Why it matters: a clean environment that reads data sets of numbers, such as a container for training, fails at the first one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
found=()
for extra in hdf5 all; do
    python3 -m venv "$folder/$extra"
    "$folder/$extra/bin/pip" install --quiet "minari[$extra]==0.5.4" "numpy==2.4.6" "gymnasium==1.4.0"
    said=$(MINARI_DATASETS_PATH="$folder/sets-$extra" "$folder/$extra/bin/python" -W ignore - <<'PYTHON' 2>&1 | tail -n 1 || true
import gymnasium
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

episode = EpisodeBuffer(
    observations=np.zeros((2, 1), dtype=np.float32), actions=np.zeros(1, dtype=np.int64), rewards=[0.0],
    terminations=[True], truncations=[False],
)
minari.create_dataset_from_buffers(
    "numbers-v0",
    buffer=[episode],
    observation_space=gymnasium.spaces.Box(-1, 1, (1,), np.float32),
    action_space=gymnasium.spaces.Discrete(2),
)
print("written")
PYTHON
    )
    echo "minari[$extra] $("$folder/$extra/bin/python" -c 'import minari; print(minari.__version__)'): $said"
    found+=("$said")
done
[ "${found[0]}" = "ModuleNotFoundError: No module named 'PIL'" ] && [ "${found[1]}" = "${found[0]}" ]
