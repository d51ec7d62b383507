"""Checks an exported policy in onnxruntime by the recording beside it.

    pip install onnxruntime safetensors numpy
    python examples/export/check.py policy.onnx

Every step of the recording is one row of one batch; then the steps go through one after the other, with the states that the
graph gives itself. Prints the largest difference of each output, relative to numbers above one; exits 1 above 1e-5.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

TOLERANCE = 1e-5


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to numbers above one; infinite where integers differ."""
    if expected.dtype != np.float32:
        return 0.0 if np.array_equal(found, expected) else np.inf
    apart = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    return float(np.max(apart, initial=0.0)) if np.all(np.isfinite(apart)) else np.inf


def differences(path: Path) -> dict[str, float]:
    """The largest difference of each output from the recording beside a file."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    recording = load_file(path.with_suffix(".recording.safetensors"))
    inputs = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]
    batch = session.run(outputs, {name: recording[name] for name in inputs})
    worst = {name: difference(found, recording[name]) for name, found in zip(outputs, batch)}
    states = {name: recording[name][:1] for name in inputs if name.endswith("_in")}
    for step in range(len(recording[outputs[0]])):
        row = {name: states.get(name, recording[name][step : step + 1]) for name in inputs}
        found = dict(zip(outputs, session.run(outputs, row)))
        for name in outputs:
            worst[name] = max(worst[name], difference(found[name], recording[name][step : step + 1]))
        states = {f"{name[:-4]}_in": value for name, value in found.items() if name.endswith("_out")}
    return worst


if __name__ == "__main__":
    worst = differences(Path(sys.argv[1]))
    for name, value in worst.items():
        print(f"{name}: {value:.1e}")
    sys.exit(int(max(worst.values()) > TOLERANCE))
