"""Signatures across programs: what Agon signs OpenSSF's tool verifies, and the other way round.

    pip install -r examples/signing/requirements.txt
    python examples/signing/check.py target/release/agon

Makes keys of three curves with `openssl`, and a model of a few files. Nothing needs the network.
"""

import base64
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

CURVES = {"P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1"}

Command = list[str | Path]


def succeeds(command: Command) -> bool:
    """Whether a command ends with exit code 0."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def make_keys(folder: Path, curve: str) -> tuple[Path, Path]:
    """A private and a public key."""
    private, public = folder / f"{curve}.pem", folder / f"{curve}.pub"
    made = subprocess.run(["openssl", "ecparam", "-name", curve, "-genkey", "-noout"], capture_output=True, check=True)
    pkcs8 = ["openssl", "pkcs8", "-topk8", "-nocrypt", "-out", private]
    subprocess.run(pkcs8, input=made.stdout, check=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return private, public


def make_model(path: Path) -> None:
    """Files whose order by path parts is not that of their texts, one that is not signed, and a deep one."""
    for name in ["a/b", "a-b", "a.b", "a/b-c/d", "notes/x", "ünï", ".hidden"]:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"content of {name}")
    (path / "large").write_bytes(bytes(3_000_001))
    (path / "empty").touch()


class Agon:
    """Agon's commands."""

    def __init__(self, program: str) -> None:
        self.program = program

    def sign(self, model: Path, key: Path) -> Command:
        return [self.program, "sign", model, "--key", key, "--ignore", model / "notes"]

    def verify(self, model: Path, key: Path) -> Command:
        return [self.program, "verify", model, "--key", key, "--signature", model / "model.sig"]


class Official:
    """The commands of `model-signing`."""

    def sign(self, model: Path, key: Path) -> Command:
        tool = [sys.executable, "-m", "model_signing", "sign", "key", model, "--private_key", key]
        return [*tool, "--signature", model / "model.sig", "--ignore-paths", model / "notes"]

    def verify(self, model: Path, key: Path) -> Command:
        tool = [sys.executable, "-m", "model_signing", "verify", "key", model, "--public_key", key]
        return [*tool, "--signature", model / "model.sig"]


def add_link(model: Path) -> None:
    (model / "a.b").unlink()
    (model / "a.b").symlink_to("a-b")


def change_signature(model: Path) -> None:
    bundle = json.loads((model / "model.sig").read_text())
    signature = bundle["dsseEnvelope"]["signatures"][0]
    decoded = bytearray(base64.b64decode(signature["sig"]))
    decoded[-1] ^= 1
    signature["sig"] = base64.b64encode(decoded).decode()
    (model / "model.sig").write_text(json.dumps(bundle))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a changed file": lambda model: (model / "a/b").write_text("other"),
    "a new file": lambda model: (model / "a/new").touch(),
    "a missing file": lambda model: (model / "a-b").unlink(),
    "a renamed file": lambda model: (model / "a-b").rename(model / "a-c"),
    "a link": add_link,
    "a changed signature": change_signature,
}


def check(agon: Agon, official: Official, folder: Path) -> list[str]:
    """What was not as it must be."""
    keys = {curve: make_keys(folder, name) for curve, name in CURVES.items()}
    wrong = []

    def expect(what: str, command: Command, holds: bool) -> None:
        found = succeeds(command)
        print(f"{'ok   ' if found == holds else 'WRONG'} {what}: {'holds' if found else 'refused'}")
        if found != holds:
            wrong.append(what)

    for signer, verifier in [(agon, official), (official, agon), (agon, agon)]:
        names = f"{type(signer).__name__} signs, {type(verifier).__name__} verifies"
        for curve, (private, public) in keys.items():
            model = folder / "model"
            shutil.rmtree(model, ignore_errors=True)
            make_model(model)
            expect(f"{names}, {curve}: signing", signer.sign(model, private), True)
            expect(f"{names}, {curve}", verifier.verify(model, public), True)
            (model / "notes/x").write_text("other")
            expect(f"{names}, {curve}, another file that is not signed", verifier.verify(model, public), True)
            other = keys["P-384" if curve == "P-256" else "P-256"][1]
            expect(f"{names}, {curve}, another key", verifier.verify(model, other), False)
            for what, change in CHANGES.items():
                changed = folder / "changed" / "model"
                shutil.rmtree(changed, ignore_errors=True)
                shutil.copytree(model, changed)
                change(changed)
                expect(f"{names}, {curve}, {what}", verifier.verify(changed, public), False)
    return wrong


def main() -> int:
    try:
        import model_signing  # noqa: F401
    except ImportError:
        print("skipped: model-signing is not installed (pip install -r examples/signing/requirements.txt)")
        return 0
    if len(sys.argv) != 2:
        print("expected the path of the program agon", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        wrong = check(Agon(sys.argv[1]), Official(), Path(folder))
    print(f"{len(wrong)} of the checks failed" if wrong else "all checks hold")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
