#!/usr/bin/env python3
"""Steps environments from Python with Agon and other libraries, one thread each, and compares their speed.

    python benches/python_envs.py [--agon PYTHON] [--envpool PYTHON] [--gymnax PYTHON] [--program target/release/agon]
                                  [--repeat 3] [--seconds 2] [--only CartPole-v1]

A PYTHON is one in which the library is installed, with Gymnasium 1.4; libraries without one are left out. Timed is what
`gymnasium.utils.performance.benchmark_vector_step` times, actions drawn by NumPy included, with 1,024 environments. Every
sample is a fresh process. `--program` adds Rust's own figure, by `agon bench env`, with random actions made in Rust.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RAW = ROOT / "results" / "bench" / "python_envs.json"
NUM_ENVS = 1024
SEED = 42
WORKLOADS = ["CartPole-v1", "MinAtar/Breakout-v0", "MiniGrid-DoorKey-8x8-v0", "LunarLander-v3"]
# Who has a workload, and under which name.
PEERS = {
    "agon same-step": {workload: workload for workload in WORKLOADS},
    "agon next-step": {workload: workload for workload in WORKLOADS},
    "envpool": {workload: workload for workload in WORKLOADS if not workload.startswith("MinAtar")},
    "gymnax": {"CartPole-v1": "CartPole-v1", "MinAtar/Breakout-v0": "Breakout-MinAtar"},
    "gymnasium": {"CartPole-v1": "CartPole-v1"},
    "gymnasium sync": {"CartPole-v1": "CartPole-v1", "LunarLander-v3": "LunarLander-v3"},
}
PACKAGES = {"agon": "agon-rl", "gymnasium": "gymnasium", "envpool": "envpool", "gymnax": "gymnax"}
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "PYTHONDONTWRITEBYTECODE": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def envpool_vector(name, num_envs):
    """EnvPool's environments, which step in one thread of its own, with the batched spaces that the benchmark draws from."""
    import envpool
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space

    class Vector(VectorEnv):
        metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

        def __init__(self):
            self.pool = envpool.make(name, env_type="gymnasium", num_envs=num_envs, num_threads=1, seed=SEED)
            self.num_envs = num_envs
            self.action_space = batch_space(self.pool.action_space, num_envs)

        def reset(self, *, seed=None, options=None):
            return self.pool.reset()

        def step(self, actions):
            return self.pool.step(actions)

    return Vector()


def gymnax_vector(name, num_envs):
    """Gymnax's environments, compiled together, with arrays of NumPy in and out."""
    import gymnax
    import jax
    import numpy as np
    from gymnasium.spaces import Discrete
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space

    class Vector(VectorEnv):
        metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

        def __init__(self):
            env, params = gymnax.make(name)

            def step(key, state, actions):
                key, own = jax.random.split(key)
                keys = jax.random.split(own, num_envs)
                return key, jax.vmap(env.step, in_axes=(0, 0, 0, None))(keys, state, actions, params)[:5]

            self.num_envs = num_envs
            self.action_space = batch_space(Discrete(int(env.action_space(params).n)), num_envs)
            self.jitted = jax.jit(step)
            self.begin = jax.jit(lambda keys: jax.vmap(env.reset, in_axes=(0, None))(keys, params))

        def reset(self, *, seed=None, options=None):
            self.key = jax.random.key(SEED)
            observations, self.state = self.begin(jax.random.split(self.key, num_envs))
            return np.asarray(observations), {}

        def step(self, actions):
            self.key, (observations, self.state, *rest) = self.jitted(self.key, self.state, actions)
            return np.asarray(observations), *map(np.asarray, rest), {}

    return Vector()


def vector(peer, name, num_envs):
    if peer.startswith("agon"):
        import agon

        mode = {"same-step": "SameStep", "next-step": "NextStep"}[peer.split()[1]]
        return agon.make_vec(name, num_envs, autoreset_mode=mode)
    if peer == "envpool":
        return envpool_vector(name, num_envs)
    if peer == "gymnax":
        return gymnax_vector(name, num_envs)
    import gymnasium

    mode = "sync" if peer.endswith("sync") else "vector_entry_point"
    return gymnasium.make_vec(name, num_envs, vectorization_mode=mode)


def sample(peer, workload, seconds):
    """Prints a line of JSON: steps a second with 1,024 environments, and microseconds of a call with one."""
    from importlib.metadata import version

    from gymnasium.utils.performance import benchmark_vector_step

    found = {"steps_per_second": benchmark_vector_step(vector(peer, PEERS[peer][workload], NUM_ENVS), seconds, SEED)}
    if peer.startswith("agon"):
        env = vector(peer, workload, 1)
        env.reset(seed=SEED)
        actions = [env.action_space.sample() for _ in range(64)] * 500
        for action in actions[:2000]:
            env.step(action)
        start = time.perf_counter()
        for action in actions:
            env.step(action)
        found["one_call_us"] = (time.perf_counter() - start) / len(actions) * 1e6
    library = peer.split()[0]
    found["versions"] = {name: version(name) for name in {PACKAGES[library], "gymnasium", "numpy"}}
    print(json.dumps(found))


def of_rust(options, workload):
    command = [
        options.program,
        "bench",
        "env",
        workload,
        "--num-envs",
        f"1,{NUM_ENVS}",
        "--seconds",
        str(options.seconds),
    ]
    rows = json.loads(run([*command, "--json"]))
    rate = {row["num_envs"]: row["steps_per_second"] for row in rows}
    return {"steps_per_second": rate[NUM_ENVS], "one_call_us": 1e6 / rate[1], "versions": {}}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def python_of(options, peer):
    return getattr(options, peer.split()[0]) if not peer.startswith("gymnasium") else options.agon


def measure(options):
    """Every cell once a round, the peers of a workload one after the other."""
    rows = []
    for repeat in range(options.repeat):
        for workload in options.only or WORKLOADS:
            peers = [peer for peer in PEERS if workload in PEERS[peer] and python_of(options, peer)]
            for peer in [*(["rust"] if options.program else []), *peers]:
                if peer == "rust":
                    row = of_rust(options, workload)
                else:
                    command = [python_of(options, peer), __file__, "--sample", peer, workload]
                    row = json.loads(run([*command, "--seconds", str(options.seconds)]).strip().splitlines()[-1])
                row |= {
                    "peer": peer,
                    "workload": workload,
                    "repeat": repeat + 1,
                    "load_average": os.getloadavg()[0],
                    "system": platform.system(),
                    "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                }
                rows.append(row)
                print(f"{repeat + 1} {workload} {peer}: {row['steps_per_second'] / 1e6:.3f} M steps/s", file=sys.stderr)
    return rows


def table(rows):
    """A row for each workload and library, its figures those of the medians of the samples."""
    lines = [
        "| environment | library | M steps/s, median (lowest to highest) | of Rust's own | a call with 1 environment |",
        "|---|---|---|---|---|",
    ]
    for workload in WORKLOADS:
        rates, calls = {}, {}
        for row in rows:
            if row["workload"] == workload:
                rates.setdefault(row["peer"], []).append(row["steps_per_second"] / 1e6)
                calls.setdefault(row["peer"], []).append(row.get("one_call_us"))
        rust = statistics.median(rates["rust"]) if "rust" in rates else None
        for peer, found in rates.items():
            median = statistics.median(found)
            ratio = f"{median / rust:.2f}" if rust and peer.startswith("agon") else "–"
            call = f"{statistics.median(calls[peer]):.2f} µs" if calls[peer][0] else "–"
            spread = f"{median:.3g} ({min(found):.3g} to {max(found):.3g})"
            lines.append(f"| {workload} | {label(peer, rows)} | {spread} | {ratio} | {call} |")
    return "\n".join(lines)


def label(peer, rows):
    if peer == "rust":
        return "`agon bench env`, no Python"
    versions = next(row["versions"] for row in rows if row["peer"] == peer)
    library, *mode = peer.split()
    names = {"agon": "Agon", "envpool": "EnvPool", "gymnax": "gymnax", "gymnasium": "Gymnasium"}
    return " ".join([names[library], *([versions[PACKAGES[library]]] if library != "agon" else []), *mode])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agon", type=pathlib.Path, default=pathlib.Path(sys.executable))
    parser.add_argument("--envpool", type=pathlib.Path)
    parser.add_argument("--gymnax", type=pathlib.Path)
    parser.add_argument("--program", type=pathlib.Path)
    parser.add_argument("--only", action="append", choices=WORKLOADS, help="may be repeated")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--processor", default=platform.processor() or platform.machine())
    parser.add_argument("--out", type=pathlib.Path, default=RAW, help="the raw file; the table lies beside it")
    parser.add_argument("--sample", nargs=2, metavar=("LIBRARY", "ENVIRONMENT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sample:
        sample(*options.sample, options.seconds)
        return
    rows = measure(options)
    options.out.write_text(
        json.dumps({"processor": options.processor, "samples": rows}, indent=1) + "\n", encoding="utf-8"
    )
    page = [
        "# Stepping environments from Python",
        "",
        "Made by `benches/python_envs.py` from [`python_envs.json`](python_envs.json): "
        "`gymnasium.utils.performance.benchmark_vector_step` with 1,024 environments, one thread, "
        f"{options.seconds:g} s a sample, {options.repeat} fresh processes a row, {options.processor}, {rows[0]['time'][:10]}.",
        "Rust's own figure makes its random actions in Rust; Python's are drawn by NumPy inside the clock.",
        "",
        table(rows),
    ]
    options.out.with_suffix(".md").write_text("\n".join(page) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
