#!/usr/bin/env bash
# safetensors: the same tensors and metadata give files of different bytes.
#
# What one would guess: the format has no timestamp and no compression, and its writer sorts tensors, so saving the same
# content twice gives the same bytes; hashes of weight files are how releases, caches and "same seed, same result" are checked.
#
# What happens (safetensors 0.6.2 for Python; the Rust crate below it keeps metadata in the same kind of map): metadata goes
# through a hash map with a random order per process, so with two keys or more the header, and with it the hash of the file,
# differs from process to process. With one key, or none, the bytes are the same.
#
# Why it matters: a check of reproducibility by file hash fails at random, more often the more metadata there is. Keep one key
# (with a JSON text), or compare tensors.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet safetensors==0.6.2 numpy==2.3.4
cat > "$folder/save.py" <<'PY'
import hashlib
import sys

import numpy as np
from safetensors.numpy import save

metadata = {f"key_{i}": "value" for i in range(int(sys.argv[1]))}
print(hashlib.sha256(save({"weight": np.zeros(3, np.float32)}, metadata=metadata)).hexdigest())
PY
distinct() { for _ in 1 2 3 4 5 6 7 8; do "$folder/venv/bin/python" "$folder/save.py" "$1"; done | sort -u | wc -l; }
one=$(distinct 1)
eight=$(distinct 8)
echo "safetensors 0.6.2, eight processes that save the same content"
echo "  different files with 1 key of metadata:  $one"
echo "  different files with 8 keys of metadata: $eight"
[ "$one" -eq 1 ] && [ "$eight" -gt 1 ]
