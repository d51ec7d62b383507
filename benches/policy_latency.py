"""Times one decision of exported policies in agon-policy, tract and onnxruntime: writes `results/export/latency.md`.

    pip install onnxruntime==1.32.0 numpy
    python benches/policy_latency.py --agon target/release/agon

Networks are multilayer perceptrons on CartPole's four numbers, with two actions; what they have learned does not matter. One
thread each, a batch of one. Every sample is a fresh process, the runtimes in turn; medians of samples.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HIDDEN = {"4-64-64-2": "[64,64]", "4-256-256-2": "[256,256]"}
OTHER = """
import statistics, sys, time
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
observations = [np.full((1, 4), 0.01 * row, np.float32) for row in range(64)]
blocks = []
for _ in range(15):
    start = time.perf_counter()
    for at in range(5_000):
        session.run(None, {"obs": observations[at % 64]})
    blocks.append((time.perf_counter() - start) / 5_000 * 1e9)
print(statistics.median(blocks))
"""


def output(*command: object) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, cwd=ROOT).stdout


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of what is shipped beside the weights: a program with agon-policy, and onnxruntime's library."""
    output("cargo", "build", "--release", "-p", "agon-policy", "--example", "act")
    program = folder / "act"
    output("strip", "-o", program, ROOT / "target/release/examples/act")
    code = "import onnxruntime, pathlib; print(pathlib.Path(onnxruntime.__file__).parent / 'capi')"
    library = Path(output(sys.executable, "-c", code).strip())
    return {
        "a program with agon-policy": program.stat().st_size,
        "onnxruntime's library": sum(file.stat().st_size for file in library.glob("*.so*")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agon", type=Path, default=ROOT / "target/release/agon")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--processor", required=True, help="named in the table, such as 'AMD EPYC (Zen 5), AVX-512'")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, hidden in HIDDEN.items():
            run = Path(folder) / name
            output(
                options.agon, "train", "ppo", "CartPole-v1", "--total-timesteps", "2048", "--name", name, "--out", folder,
                "--set", f"network.encoder.hidden={hidden}",
            )
            for ending in ("onnx", "safetensors"):
                output(options.agon, "export", run, "--out", run / f"policy.{ending}")
            samples: dict[str, list[float]] = {"agon-policy": [], "tract": [], "onnxruntime, from Python": []}
            for _ in range(options.repeat):
                for runtime, ending in (("agon-policy", "safetensors"), ("tract", "onnx")):
                    file = run / f"policy.{ending}"
                    found = output("cargo", "bench", "--quiet", "--bench", "policy_latency", "--", file)
                    samples[runtime].append(float(found))
                samples["onnxruntime, from Python"].append(float(output(sys.executable, "-c", OTHER, run / "policy.onnx")))
            median = {runtime: statistics.median(values) for runtime, values in samples.items()}
            for runtime, values in samples.items():
                times = median[runtime] / median["agon-policy"]
                spread = f"{min(values):,.0f} to {max(values):,.0f}"
                rows.append(f"| {name} | {runtime} | {median[runtime]:,.0f} ({spread}) | {times:.1f} |")
        shipped = sizes(Path(folder))
    lines = [
        "# One decision of an exported policy",
        "",
        f"`benches/policy_latency.py`: a batch of one, one thread, medians of {options.repeat} processes (lowest to highest), "
        f"{options.processor}, {date.today()}.",
        "tract 0.23.9 is called from Rust with a state that is kept, onnxruntime 1.32.0 from Python, whose call is part of its time.",
        "",
        "| network | runtime | ns | times agon-policy's |",
        "|---|---|---|---|",
        *rows,
        "",
        "| shipped beside the weights | MB |",
        "|---|---|",
        *(f"| {what} | {size / 1e6:.1f} |" for what, size in shipped.items()),
    ]
    (ROOT / "results/export/latency.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
