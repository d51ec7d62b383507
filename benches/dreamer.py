"""What Dreamer learns from few steps: greedy returns along runs, when they reach what counts as solved, and how long that takes.

    python benches/dreamer.py PROGRAM FOLDER [TASK ...] [--seeds 5]

Trains with the presets, where there is one, one run after the other on all threads, and prints a table in Markdown. Evaluations are 20 greedy episodes
in environments of their own. A score is that of the evaluations in the last quarter of a run: the interquartile mean over seeds
with a 95 % interval (percentile bootstrap). Times are those of whole runs, evaluations included. What is there already in FOLDER
is not made again. Plain Python, no packages.
"""

import argparse
import csv
import statistics
import subprocess
from pathlib import Path

from offline import interquartile_mean, interval

#: Environment: steps, steps between evaluations, what counts as solved, settings.
TASKS = {
    "CartPole-v1": (10_000, 1_000, 475, []),
    "Pendulum-v1": (10_000, 1_000, -200, []),
    "bsuite/catch-v0": (
        5_000,
        500,
        0.9,
        ["num_envs=4", "agent.gradient_steps=16", "agent.gamma=0.99", "agent.observation_coef=20.0"],
    ),
}


def evaluations(run):
    with open(run / "evaluations.csv", newline="") as file:
        return [(int(row["global_step"]), float(row["eval/mean_return"])) for row in csv.DictReader(file)]


def seconds(run):
    """How long a run took, by its log."""
    with open(run / "timing.csv", newline="") as file:
        return float(list(csv.DictReader(file))[-1]["seconds"])


def number(value):
    return "–" if value is None else f"{value:.0f}" if abs(value) >= 10 else f"{value:.2f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    program = Path(arguments.program).resolve()
    print("| task | steps | score | reached in a run's evaluations | first reached after, seeds | a run |")
    print("|---|---|---|---|---|---|", flush=True)
    for env in arguments.tasks:
        steps, every, solved, settings = TASKS[env]
        late, first, times, shares = [], [], [], []
        for seed in range(1, arguments.seeds + 1):
            name = f"{env.replace('/', '-')}_{seed}"
            run = arguments.folder / name
            if not (run / "model.safetensors").exists():
                common = ["--total-timesteps", str(steps), "--eval-every", str(every), "--seed", str(seed)]
                more = [part for setting in ["eval.episodes=20", *settings] for part in ("--set", setting)]
                subprocess.run(
                    [program, "train", "dreamer", env, *common, *more, "--out", arguments.folder, "--name", name],
                    check=True,
                    capture_output=True,
                )
            rows = evaluations(run)
            late.append(statistics.mean(score for step, score in rows if step > 0.75 * steps))
            reached = [step for step, score in rows if score >= solved]
            first.append(reached[0] if reached else None)
            shares.append(len(reached) / len(rows))
            times.append(seconds(run))
        low, high = interval(late)
        reached = ", ".join(number(step) for step in first)
        share = f"{100 * statistics.mean(shares):.0f} % ≥ {solved}"
        score = f"{number(interquartile_mean(late))} [{number(low)}, {number(high)}]"
        print(f"| {env} | {steps} | {score} | {share} | {reached} | {statistics.median(times):.0f} s |", flush=True)


if __name__ == "__main__":
    main()
