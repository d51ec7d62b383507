"""What the boundary to a worker process costs: microseconds of a vector step, beside Gymnasium's own vectors.

    AGON_PYTHON=… python benches/foreign.py target/release/agon [--ids CartPole-v1 …]

Run it with an interpreter that has Gymnasium; Agon's worker is run by the same. All act at random from actions that were
drawn before, and reset what ended: Agon in the same step (another message where something ended), the others as they do.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import gymnasium
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

BATCHES = (1, 8, 64)
REPETITIONS = 3


def of_agon(program: str, id: str, batch: int, seconds: float) -> float:
    """Microseconds of a vector step through Agon's worker process."""
    command = [program, "bench", "env", f"gymnasium:{id}", "--json", "--num-envs", str(batch), "--seconds", str(seconds)]
    environment = os.environ | {"AGON_PYTHON": sys.executable}
    rows = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    return batch * 1e6 / rows[0]["steps_per_second"]


def of_vector(kind: type, id: str, batch: int, seconds: float) -> float:
    """Microseconds of a step of one of Gymnasium's vectors."""
    env = kind([lambda: gymnasium.make(id, disable_env_checker=True)] * batch)
    env.reset(seed=0)
    actions = [env.action_space.sample() for _ in range(64)]
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for action in actions:
            env.step(action)
        steps += len(actions)
    took = time.perf_counter() - began
    env.close()
    return took * 1e6 / steps


def of_loop(id: str, batch: int, seconds: float) -> float:
    """Microseconds of stepping as many environments one after the other in a loop, resets included."""
    envs = [gymnasium.make(id, disable_env_checker=True) for _ in range(batch)]
    for env in envs:
        env.reset(seed=0)
    actions = [envs[0].action_space.sample() for _ in range(64)]
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for action in actions:
            for env in envs:
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
        steps += len(actions)
    return (time.perf_counter() - began) * 1e6 / steps


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--ids", nargs="+", default=["CartPole-v1", "Pendulum-v1"])
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    kinds = {
        "loop": of_loop,
        "agon": lambda *rest: of_agon(options.program, *rest),
        "SyncVectorEnv": lambda *rest: of_vector(SyncVectorEnv, *rest),
        "AsyncVectorEnv": lambda *rest: of_vector(AsyncVectorEnv, *rest),
    }
    print(f"Gymnasium {gymnasium.__version__}, µs of a vector step, medians of {REPETITIONS} alternating runs\n")
    print("| environment | environments | " + " | ".join(kinds) + " | agon − loop |\n|---|---|" + "---|" * (len(kinds) + 1))
    for id in options.ids:
        for batch in BATCHES:
            times = {name: [] for name in kinds}
            for _ in range(REPETITIONS):
                for name, measure in kinds.items():
                    times[name].append(measure(id, batch, options.seconds))
            found = {name: median(values) for name, values in times.items()}
            cells = [f"{value:.1f}" for value in found.values()] + [f"{found['agon'] - found['loop']:.1f}"]
            print(f"| {id} | {batch} | " + " | ".join(cells) + " |", flush=True)


main()
