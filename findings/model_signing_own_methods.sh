#!/usr/bin/env bash
# model-signing: signs with hashes and methods that its own verifier does not take.
#
# What one would guess: the hash of files (SHA-256, BLAKE2, BLAKE3) and the method (whole files, or shards of large ones) are
# choices of the signing side; the signature names them, and verifying by default goes by that name.
#
# What happens (model-signing 1.1.1 for Python): signing succeeds with all of them. Verifying with the settings that the signature
# names fails for BLAKE2 ("Unsupported hashing method blake2b": the signature has the digest's name, the reader knows the
# option's) and for shards of any size ("'float' object cannot be interpreted as an integer": the statement goes through a
# protobuf Struct, whose numbers are all doubles). Only who sets the same hashing configuration by hand can verify them; the
# command line cannot.
#
# Why it matters: a release is signed, the signature is published, and nobody can check it with the defaults. Sign with SHA-256
# over whole files, which is the default, or BLAKE3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet model-signing==1.1.1 pyopenssl==26.4.0
cat > "$folder/check.py" <<'PY'
import sys
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing, verifying

folder = Path(sys.argv[1])
key = ec.generate_private_key(ec.SECP256R1())
private, public = folder / "key.pem", folder / "key.pub"
pem = serialization.Encoding.PEM
private.write_bytes(
    key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
)
public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
model, signature = folder / "model", folder / "model.sig"
model.mkdir()
(model / "weights").write_bytes(bytes(100))


def verified(configuration, by_hand):
    signer = signing.Config().use_elliptic_key_signer(private_key=private)
    signer.set_hashing_config(configuration()).sign(model, signature)
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=public)
    if by_hand:
        verifier.set_hashing_config(configuration())
    try:
        verifier.verify(model, signature)
    except Exception as error:
        return f"refused ({type(error).__name__}: {error})"
    return "verified"


ways = {
    "SHA-256, whole files": lambda: hashing.Config(),
    "BLAKE3, whole files": lambda: hashing.Config().use_file_serialization(hashing_algorithm="blake3"),
    "BLAKE2, whole files": lambda: hashing.Config().use_file_serialization(hashing_algorithm="blake2"),
    "SHA-256, shards": lambda: hashing.Config().use_shard_serialization(),
}
found = {}
for name, way in ways.items():
    found[name] = verified(way, False).startswith("verified"), verified(way, True).startswith("verified")
    print(f"{name}: by default {verified(way, False)}; configured by hand {verified(way, True)}")
assert found["SHA-256, whole files"] == found["BLAKE3, whole files"] == (True, True)
assert found["BLAKE2, whole files"] == found["SHA-256, shards"] == (False, True)
PY
"$folder/venv/bin/python" "$folder/check.py" "$folder"
