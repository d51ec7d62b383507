#!/usr/bin/env bash
# model-signing: a fresh install does not start.
#
# What one would guess: `pip install model-signing` brings what the package imports.
#
# What happens (model-signing 1.1.1 with sigstore 4.5.1): every command, and `import model_signing` itself, ends with
# "ModuleNotFoundError: No module named 'OpenSSL'". It imports pyOpenSSL for signing with certificates, whatever is asked for,
# and does not ask for it; older versions of sigstore happened to bring it.
#
# Why it matters: a release step that pins model-signing alone breaks when a dependency of a dependency drops a package. Pin
# pyopenssl beside it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet model-signing==1.1.1 sigstore==4.5.1
if "$folder/venv/bin/python" -c "import model_signing" 2> "$folder/alone"; then
    echo "alone: it starts" && exit 1
fi
echo "alone: $(tail -1 "$folder/alone")"
"$folder/venv/bin/pip" install --quiet pyopenssl==26.4.0
"$folder/venv/bin/python" -c "import model_signing; print('with pyopenssl beside it: version', model_signing.__version__)"
grep -q "No module named 'OpenSSL'" "$folder/alone"
