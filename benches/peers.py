#!/usr/bin/env python3
"""Trains the same workloads with Agon and other libraries, one thread each, and compares their speed.

    python benches/peers.py --agon target/release/agon [--repeat 3] [--only sac] [--only modurl]
    python benches/peers.py --agon target/release/agon --check    # trains longer and looks at the returns
    python benches/peers.py --plot                                # draws what was measured before

Protocol and workloads are ModuRL's; `benches/README.md` says how to install the peers and what exactly is timed.
Measuring needs Python's standard library only; peers run in the Python given by --python. Drawing needs matplotlib.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "benches" / "peers"
RAW = ROOT / "results" / "bench" / "peers.json"
WORKLOADS = json.loads((PEERS / "workloads.json").read_text(encoding="utf-8"))
NAMES = {
    "agon": "Agon", "modurl": "ModuRL", "sbx": "SBX", "sb3": "Stable-Baselines3", "cleanrl": "CleanRL's files",
    "tianshou": "Tianshou",
}
MAIN_PACKAGE = {"sbx": "sbx-rl", "sb3": "stable-baselines3", "cleanrl": "torch"}
SEED = 42
# One thread for every library that the peers use, and no accelerator.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
}


def output(command):
    """What a fresh process prints, and its processor seconds per second of its life."""
    start = time.perf_counter()
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD, cwd=ROOT)
    after = os.times()
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return done.stdout, used / (time.perf_counter() - start)


def parameters_of(weights):
    """Trainable parameters in a safetensors file: all but those of target networks."""
    with weights.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__" and not name.startswith("target"):
            size = 1
            for length in tensor["shape"]:
                size *= length
            total += size
    return total


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def expected_updates(algorithm):
    workload = WORKLOADS[algorithm]
    if algorithm == "ppo":
        return workload["steps"] // workload["minibatch_size"] * workload["update_epochs"]
    return workload["steps"] // workload.get("train_frequency", 1)


def agon(options, algorithm, seed, check):
    """A run of `agon train`. Timed is what its own clock counts from the end of the warm-up to the last update."""
    workload = WORKLOADS[algorithm]
    steps = workload["check"]["steps"] if check else workload["steps"]
    with tempfile.TemporaryDirectory() as out:
        command = [
            options.agon, "train", algorithm, workload["env"], "--preset", "none", "--config",
            PEERS / f"agon-{algorithm}.toml", "--threads", "1", "--seed", str(seed), "--total-timesteps",
            str(workload["warmup"] + steps), "--out", out, "--name", "run", "--json",
        ]
        _, cores = output(command)
        run = pathlib.Path(out) / "run"
        clock = {int(row["global_step"]): float(row["seconds"]) for row in rows_of(run / "timing.csv")}
        updates = {int(row["global_step"]): int(row["updates"]) for row in rows_of(run / "metrics.csv")}
        found = {"parameters": parameters_of(run / "model.safetensors"), "steps": steps, "cores": cores, "note": ""}
        first, last = workload["warmup"], workload["warmup"] + steps
        if found["parameters"] != workload["parameters"]:
            raise SystemExit(f"agon has {found['parameters']} parameters, expected {workload['parameters']}")
        if not check and updates[last] - updates[first] != expected_updates(algorithm):
            raise SystemExit(f"{updates[last] - updates[first]} updates, expected {expected_updates(algorithm)}")
        if check:
            episodes = rows_of(run / "episodes.csv")[-workload["check"]["episodes"] :]
            key = next(name for name in episodes[0] if name.endswith("return"))
            found["mean_return"] = statistics.fmean(float(row[key]) for row in episodes)
    version = output([options.agon, "--version"])[0].split()[-1]
    return found | {"seconds": clock[last] - clock[first], "versions": {"agon": version}}


def other(options, peer, algorithm, seed, check):
    """A run of a peer's own program, which warms up, times itself and prints a line of JSON."""
    command = [options.modurl] if peer == "modurl" else [options.python, PEERS / f"run_{peer}.py"]
    command += [algorithm, *(["--check"] if check else [])]
    if peer != "modurl":
        command += ["--seed", str(seed)]
    printed, cores = output(command)
    found = json.loads(printed.strip().splitlines()[-1])
    if found["parameters"] != WORKLOADS[algorithm]["parameters"]:
        raise SystemExit(f"{peer}: {found['parameters']} parameters, expected {WORKLOADS[algorithm]['parameters']}")
    return found | {"cores": cores}


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def measure(options, cells):
    """Every cell once a round, in another order each round; a process for each."""
    shuffle, rows = random.Random(SEED), []
    for repeat in range(1 if options.check else options.repeat):
        shuffle.shuffle(cells)
        for peer, algorithm in cells:
            seed = SEED + repeat
            if peer == "agon":
                row = agon(options, algorithm, seed, options.check)
            else:
                row = other(options, peer, algorithm, seed, options.check)
            row |= {
                "peer": peer, "algorithm": algorithm, "repeat": repeat + 1, "seed": seed,
                "steps_per_second": row["steps"] / row["seconds"], "load_average": os.getloadavg()[0],
                "processor": processor(), "system": platform.system(),
                "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            }
            rows.append(row)
            figure = f"return {row['mean_return']:.1f}" if options.check else f"{row['steps_per_second']:,.0f} steps/s"
            print(f"{repeat + 1} {algorithm} {peer}: {figure}, {row['cores']:.2f} cores", file=sys.stderr)
    return rows


def keep(kind, rows, path):
    """Puts measurements into the raw file, in place of older ones of the same cells."""
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    new = {(row["peer"], row["algorithm"]) for row in rows}
    old = [row for row in report.get(kind, []) if (row["peer"], row["algorithm"]) not in new]
    report[kind] = sorted(old + rows, key=lambda row: (row["algorithm"], row["peer"], row["repeat"]))
    report["workloads"] = WORKLOADS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def medians(report, algorithm):
    """Peers and their steps a second, the fastest first."""
    found = {}
    for row in report["samples"]:
        if row["algorithm"] == algorithm:
            found.setdefault(row["peer"], []).append(row)
    median = lambda rows: statistics.median(row["steps_per_second"] for row in rows)
    return sorted(((median(rows), peer, rows) for peer, rows in found.items()), key=lambda rate: -rate[0])


def version_of(row):
    return row["versions"][MAIN_PACKAGE.get(row["peer"], row["peer"])]


def table(report):
    checks = {(row["peer"], row["algorithm"]): row["mean_return"] for row in report.get("checks", [])}
    lines = [
        "| workload | library | steps/s, median (lowest to highest) | Agon is faster by | return after longer training |",
        "|---|---|---|---|---|",
    ]
    for algorithm in WORKLOADS:
        rates = medians(report, algorithm)
        ours = next((rate for rate, peer, _ in rates if peer == "agon"), None)
        for rate, peer, rows in rates:
            each = [row["steps_per_second"] for row in rows]
            ratio = f"{ours / rate:.1f} ×" if ours and peer != "agon" else "–"
            returned = f"{checks[peer, algorithm]:.0f}" if (peer, algorithm) in checks else "–"
            name = f"{NAMES[peer]} {version_of(rows[0])}" if peer != "cleanrl" else f"{NAMES[peer]} (e421c2e5)"
            spread = f"{rate:,.0f} ({min(each):,.0f} to {max(each):,.0f})"
            lines.append(f"| {algorithm.upper()} | {name} | {spread} | {ratio} | {returned} |")
    return "\n".join(lines)


def write_table(report, path):
    """A page with the table, beside the raw file, whose every figure it takes from there."""
    processors = sorted({row["processor"] for row in report["samples"]})
    days = sorted({row["time"][:10] for row in report["samples"]})
    repeats = sorted({row["repeat"] for row in report["samples"]})[-1]
    notes = sorted({(row["algorithm"], row["peer"], row["note"]) for row in report["samples"] if row["note"]})
    lines = [
        "# Agon beside other libraries", "",
        "Made by `benches/peers.py` from [`peers.json`](peers.json); [`benches/README.md`](../../benches/README.md) "
        "says what is measured.",
        f"One thread, {', '.join(processors)}, {' and '.join(days)}, up to {repeats} fresh processes a row.", "",
        "![Environment steps a second of Agon and other libraries](peers.svg)", "", table(report), "",
        "What differs from the libraries as they are published:", "",
        *[f"- {NAMES[peer]}, {algorithm.upper()}: {note}." for algorithm, peer, note in notes],
    ]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def plot(report, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 9, "svg.hashsalt": "peers", "svg.fonttype": "none"})
    figure, panels = pyplot.subplots(1, len(WORKLOADS), figsize=(11, 3.0), constrained_layout=True)
    for panel, algorithm in zip(panels, WORKLOADS):
        rates = medians(report, algorithm)[::-1]
        values = [rate for rate, _, _ in rates]
        colours = ["#c2410c" if peer == "agon" else "#94a3b8" for _, peer, _ in rates]
        bars = panel.barh([NAMES[peer] for _, peer, _ in rates], values, color=colours)
        panel.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3)
        panel.set_xscale("log")
        panel.set_xlim(min(values) / 3, max(values) * 6)
        panel.set_title(f"{algorithm.upper()}, {WORKLOADS[algorithm]['env']}")
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("environment steps a second on one thread, log scale", fontsize=9)
    for suffix, more in [("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 150})]:
        figure.savefig(path.with_suffix(f".{suffix}"), **more)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agon", type=pathlib.Path, default=ROOT / "target" / "release" / "agon")
    parser.add_argument("--modurl", type=pathlib.Path, default=PEERS / "modurl" / "target" / "release" / "peers-modurl")
    parser.add_argument("--python", type=pathlib.Path, default=pathlib.Path(sys.executable))
    parser.add_argument("--only", action="append", default=[], choices=[*NAMES, *WORKLOADS], help="may be repeated")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="train longer, once, and look at the returns")
    parser.add_argument("--plot", action="store_true", help="only draw what was measured before")
    parser.add_argument("--out", type=pathlib.Path, default=RAW, help="the raw file; table and plot lie beside it")
    options = parser.parse_args()
    # Peers run in another directory; links stay, as they tell a virtual environment's Python where it is.
    for name in ["agon", "modurl", "python"]:
        setattr(options, name, pathlib.Path(os.path.abspath(getattr(options, name))))
    if options.plot:
        report = json.loads(options.out.read_text(encoding="utf-8"))
        plot(report, options.out)
        write_table(report, options.out)
        return
    peers = [name for name in NAMES if name in options.only] or list(NAMES)
    algorithms = [name for name in WORKLOADS if name in options.only] or list(WORKLOADS)
    rows = measure(options, [(peer, algorithm) for algorithm in algorithms for peer in peers])
    if options.check:
        keep("checks", rows, options.out)
        low = [row for row in rows if row["mean_return"] < WORKLOADS[row["algorithm"]]["check"]["at_least"]]
        if low:
            wanted = [f"{row['peer']} {row['algorithm']}: {row['mean_return']:.1f}" for row in low]
            raise SystemExit(f"below what a working learner reaches: {', '.join(wanted)}")
    else:
        report = keep("samples", rows, options.out)
        write_table(report, options.out)
        print(table(report))


if __name__ == "__main__":
    main()
