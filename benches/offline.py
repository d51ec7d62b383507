"""What learns how much from which recorded data: normalised scores over tasks, qualities of data and algorithms.

    python benches/offline.py PROGRAM FOLDER [TASK ...] [--seeds 5] [--updates 20000] [--without ALGORITHM ...] [--only ALGORITHM ...]

Makes the data with the program's own commands (PPO runs whose checkpoints are kept), trains every algorithm on every data set,
and prints tables in Markdown. What is there already in FOLDER is not made again. Plain Python, no packages.

* random: random actions; expert: the last policy's best actions; medium: the checkpoint whose score is nearest to half way
  between them, acting as in training; medium-replay: all checkpoints up to that one, likewise, each as many episodes; mixed:
  random and expert, half of each.
* A score is the mean return of the evaluations in the last quarter of the updates, between 0 (random actions) and 100 (the
  expert data).
* A cell is the interquartile mean over seeds with a 95 % interval, percentile bootstrap over seeds.
"""

import argparse
import csv
import json
import os
import random
import subprocess
from pathlib import Path

EPISODES = 100
QUALITIES = ["random", "medium", "medium-replay", "expert", "mixed"]
SMALL = ["network.encoder.hidden=[64, 64]"]
#: A small decision transformer that sees ten steps.
TRANSFORMER = "network.memory={layers=3, heads=4, width=32, feed_forward=128, window=10, position={learned={positions=1100}}}"
DISCRETE = {
    "bc": ("bc", []),
    "10 % bc": ("bc", ["data.best=0.1"]),
    "cql": ("cql", []),
    "iql": ("iql", []),
    "awac": ("awac", []),
    "dt": ("dt", [TRANSFORMER]),
}
CONTINUOUS = {
    "bc": ("bc", []),
    "10 % bc": ("bc", ["data.best=0.1"]),
    "td3-bc": ("td3-bc", []),
    "iql": ("iql", []),
    "rebrac": ("rebrac", ["agent.batch_size=256"]),
    "awac": ("awac", []),
    "cql": ("cql-sac", []),
    "cal-ql": ("cal-ql", []),
    "dt": ("dt", [TRANSFORMER]),
}
TASKS = {
    "CartPole-v1": (DISCRETE, ["--total-timesteps", "100000"], SMALL),
    "Acrobot-v1": (DISCRETE, ["--total-timesteps", "300000"], SMALL),
    "LunarLander-v3": (DISCRETE, ["--total-timesteps", "1000000"], SMALL),
    "Pendulum-v1": (CONTINUOUS, ["--total-timesteps", "100000"], SMALL),
    "LunarLanderContinuous-v3": (CONTINUOUS, ["--total-timesteps", "1000000"], SMALL),
    "MinAtar/Breakout-v0": (DISCRETE, ["--total-timesteps", "2000000"], []),
}


class Bench:
    def __init__(self, program, folder, seeds, updates):
        self.program, self.folder, self.seeds, self.updates = str(Path(program).resolve()), Path(folder).resolve(), seeds, updates
        self.folder.mkdir(parents=True, exist_ok=True)

    def agon(self, *arguments):
        environment = {**os.environ, "MINARI_DATASETS_PATH": str(self.folder / "sets")}
        done = subprocess.run([self.program, *arguments], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def name(self, env):
        return env.lower().replace("/", "-")

    def make_data(self, env, run_arguments):
        run = self.folder / f"ppo-{self.name(env)}"
        ident = lambda quality: f"{self.name(env)}/{quality}-v0"
        missing = lambda quality: not (self.folder / "sets" / ident(quality)).exists()
        if not run.exists():
            steps = int(run_arguments[-1])
            self.agon(
                "train", "ppo", env, *run_arguments, "--seed", "1", "--checkpoint-every", str(steps // 20),
                "--set", "runtime.keep_models=true", "--out", str(self.folder), "--name", run.name,
            )
        record = lambda source, quality, *more: missing(quality) and self.agon(
            "data", "record", str(source), "--episodes", str(EPISODES), "--out", ident(quality), *more
        )
        record(env, "random")
        record(run, "expert", "--seed", "10000")
        random_return, expert_return = (self.returns(ident(quality)) for quality in ("random", "expert"))
        if missing("medium") or missing("medium-replay"):
            half = (random_return + expert_return) / 2
            steps = sorted(int(path.stem.split("_")[1]) for path in (run / "models").iterdir())
            score = lambda step: json.loads(
                self.agon("eval", str(run), "--checkpoint", str(step), "--stochastic", "--episodes", "20", "--json")
            )["mean_return"]
            medium = min(steps, key=lambda step: abs(score(step) - half))
            record(run, "medium", "--checkpoint", str(medium), "--stochastic", "--seed", "20000")
            record(run, "medium-replay", "--all-until", str(medium), "--stochastic", "--seed", "30000")
        if missing("mixed"):
            self.agon("data", "mix", ident("random"), ident("expert"), "--each", str(EPISODES // 2), "--out", ident("mixed"))
        return {quality: ident(quality) for quality in QUALITIES}, (random_return, expert_return)

    def told(self, ident):
        return json.loads(self.agon("data", "info", ident, "--json"))[0]

    def returns(self, ident):
        return self.told(ident)["returns"]["mean"]

    def train(self, env, algorithm, ident, settings, label):
        """The score of each seed, and updates a second."""
        name = f"{self.name(env)}-{ident.split('/')[1]}-{label.replace(' ', '').replace('%', 'percent')}"
        run = self.folder / "runs" / name
        seeds = seed_runs(run, self.seeds)
        if not (seeds[-1] / "model.safetensors").exists():
            assignments = [part for setting in settings for part in ("--set", setting)]
            self.agon(
                "train", algorithm, env, "--data", ident, "--seeds", str(self.seeds), "--total-timesteps", str(self.updates),
                "--set", "eval.episodes=20", "--out", str(run.parent), "--name", name, "--preset", "none", *assignments, "--json",
            )
        scores = []
        for seed in seeds:
            with open(seed / "evaluations.csv", newline="") as file:
                rows = list(csv.DictReader(file))
            late = [float(row["eval/mean_return"]) for row in rows if float(row["global_step"]) > 0.75 * self.updates]
            scores.append(sum(late) / len(late))
        return scores


def seed_runs(run, seeds, first=1):
    """Where the run of each seed lies: one by itself is no experiment."""
    return [run] if seeds == 1 else [run / f"seed_{seed}" for seed in range(first, first + seeds)]


def interquartile_mean(values):
    ordered = sorted(values)
    cut = len(ordered) // 4
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)


def interval(values, resamples=2000):
    generator = random.Random(0)
    means = sorted(interquartile_mean(generator.choices(values, k=len(values))) for _ in range(resamples))
    return means[int(0.025 * resamples)], means[int(0.975 * resamples) - 1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=20_000)
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    bench = Bench(arguments.program, arguments.folder, arguments.seeds, arguments.updates)
    for env in arguments.tasks or TASKS:
        algorithms, run_arguments, settings = TASKS[env]
        algorithms = {label: what for label, what in algorithms.items() if label not in arguments.without and (not arguments.only or label in arguments.only)}
        sets, (low, high) = bench.make_data(env, run_arguments)
        print(f"\n### {env}\n\nRandom actions {low:.1f}, expert data {high:.1f}.\n", flush=True)
        print(f"| data | return of the data | {' | '.join(algorithms)} |")
        print("|---" * (len(algorithms) + 2) + "|", flush=True)
        for quality, ident in sets.items():
            cells = []
            for label, (algorithm, more) in algorithms.items():
                scores = bench.train(env, algorithm, ident, settings + more, label)
                scores = [100 * (score - low) / (high - low) for score in scores]
                bounds = interval(scores)
                cells.append(f"{interquartile_mean(scores):.0f} [{bounds[0]:.0f}, {bounds[1]:.0f}]")
            data = 100 * (bench.returns(ident) - low) / (high - low)
            print(f"| {quality} | {data:.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
