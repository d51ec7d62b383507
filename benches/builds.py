"""Compares two builds of agon, in turn on one machine: medians of ratios, new over old.

    python3 benches/builds.py OLD NEW [--rounds 5] [--out results/NAME.md]

OLD and NEW are programs (`target/release/agon`). Every round runs each measurement with both, the order changing from
round to round. A ratio above 1 means that the new build is faster. Needs Python's standard library only.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

ENVS = [
    "CartPole-v1", "MountainCar-v0", "Pendulum-v1", "Acrobot-v1", "Taxi-v4", "FrozenLake8x8-v1", "Blackjack-v1",
    "MinAtar/Breakout-v0", "MinAtar/Seaquest-v0", "MiniGrid-DoorKey-8x8-v0", "LunarLander-v3",
    "Foraging-8x8-2p-2f-v3", "ConnectFour-v0", "RepeatPreviousEasy-v0",
]
TRAININGS = {
    "ppo-cartpole": "ppo CartPole-v1 --preset ppo-cartpole --total-timesteps 200000",
    "ppo-cartpole-throughput": "ppo CartPole-v1 --preset ppo-cartpole-throughput --total-timesteps 3000000",
    "ppo-minatar-breakout": "ppo MinAtar/Breakout-v0 --total-timesteps 250000",
    "ppo-doorkey": "ppo MiniGrid-DoorKey-5x5-v0 --total-timesteps 300000",
    "ppo-gru": "ppo CartPoleNoVel-v1 --preset ppo-cartpole-novel --total-timesteps 200000",
    "ppo-foraging": "ppo Foraging-8x8-2p-2f-v3 --total-timesteps 150000",
    "ppo-pendulum": "ppo Pendulum-v1 --total-timesteps 60000",
    "a2c-cartpole": "a2c CartPole-v1 --total-timesteps 1500000",
    "impala-cartpole": "impala CartPole-v1 --total-timesteps 2000000",
    "pqn-cartpole": "pqn CartPole-v1 --total-timesteps 100000",
    "dqn-cartpole-zoo": "dqn CartPole-v1 --preset dqn-cartpole-zoo --total-timesteps 15000",
    "dqn-minatar": "dqn MinAtar/Breakout-v0 --total-timesteps 7000",
    "rainbow-cartpole": "rainbow CartPole-v1 --total-timesteps 3000",
    "qr-dqn-cartpole": "qr-dqn CartPole-v1 --total-timesteps 10000",
    "bootstrapped-dqn": "bootstrapped-dqn bsuite/deep_sea-v0 --total-timesteps 4000",
    "r2d2-cartpole-novel": "r2d2 CartPoleNoVel-v1 --total-timesteps 20000",
    "sac-pendulum": "sac Pendulum-v1 --total-timesteps 3000",
    "td3-pendulum": "td3 Pendulum-v1 --total-timesteps 4000",
}


def output(arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return done.stdout


def simulation(program):
    rows = json.loads(output([program, "bench", "env", *ENVS, "--seconds", "0.25", "--json"]))
    rows = rows if isinstance(rows, list) else rows["rows"]
    return {f"env {row['env']} × {row['num_envs']}": row["steps_per_second"] for row in rows}


def networks(program):
    found = json.loads(output([program, "bench", "nn", "--seconds", "0.1", "--json"]))
    rows = found if isinstance(found, list) else found["rows"]
    return {f"nn {row['network']} {row['pass']} {row['batch']}": 1.0 / row["us"] for row in rows}


def training(program, name):
    with tempfile.TemporaryDirectory() as out:
        arguments = [program, "train", *TRAININGS[name].split(), "--out", out, "--name", "run", "--json"]
        run = json.loads(output(arguments))
        return {f"train {name}": run[0]["steps_per_second"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["env", "nn", "train"])
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    measurements = {"env": [simulation], "nn": [networks]}
    measurements["train"] = [lambda program, name=name: training(program, name) for name in TRAININGS]
    kinds = [arguments.only] if arguments.only else list(measurements)
    figures = {}
    for round_index in range(arguments.rounds):
        for measure in (measure for kind in kinds for measure in measurements[kind]):
            builds = [("old", arguments.old), ("new", arguments.new)]
            found = {}
            for which, program in builds if round_index % 2 == 0 else reversed(builds):
                found[which] = measure(program)
            for name in found["old"]:
                if name in found["new"]:
                    figures.setdefault(name, []).append((found["old"][name], found["new"][name]))
    lines = ["| what | old | new | new / old |", "|---|---|---|---|"]
    for name, pairs in figures.items():
        ratio = statistics.median(new / old for old, new in pairs)
        old, new = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
        lines.append(f"| {name} | {old:.4g} | {new:.4g} | {ratio:.3f} |")
    ratios = sorted((statistics.median(new / old for old, new in pairs), name) for name, pairs in figures.items())
    lines.append("")
    lines.append(f"Lowest: {', '.join(f'{name} {ratio:.3f}' for ratio, name in ratios[:5])}.")
    text = "\n".join(lines)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
