"""What world models learn from few steps: greedy returns along runs, when they reach what counts as solved, how long that takes,
and what others have learned by then.

    python benches/world_models.py PROGRAM FOLDER [TASK ...] [--seeds 5] [--algorithms dreamer vmc ...]

Trains with the presets, where there is one, one run after the other on one thread each, and prints tables in Markdown.
Evaluations are 20 greedy episodes in environments of their own. A score is that of the evaluations in the last quarter of a run: the
interquartile mean over seeds with a 95 % interval (percentile bootstrap). Times are those of whole runs, evaluations included.
Tasks that others learn beside them have two more tables: evaluations by steps, and by seconds. What is there already in FOLDER is not
made again. Plain Python, no packages.
"""

import argparse
import csv
import statistics
import subprocess
from pathlib import Path

from offline import interquartile_mean, interval

MINATAR = ["num_envs=4", "env.max_episode_steps=1000"]
#: Environment: what counts as solved, and by algorithm: steps, steps between evaluations, settings.
TASKS = {
    "CartPole-v1": (475, {"dreamer": (10_000, 1_000, []), "vmc": (10_000, 1_000, [])}),
    "Pendulum-v1": (-200, {"dreamer": (10_000, 1_000, []), "vmc": (10_000, 1_000, [])}),
    "bsuite/catch-v0": (
        0.9,
        {
            "dreamer": (
                5_000,
                500,
                ["num_envs=4", "agent.gradient_steps=16", "agent.gamma=0.99", "agent.observation_coef=20.0"],
            ),
            "vmc": (10_000, 1_000, ["num_envs=4", "agent.gradient_steps=8", "agent.horizon=20", "agent.latents=32"]),
        },
    ),
    "bsuite/memory_len-v0": (
        0.9,
        {
            "dreamer": (
                12_000,
                1_000,
                ["env.args.memory_length=10", "num_envs=4", "agent.gradient_steps=16", "agent.gamma=0.99"],
            ),
        },
    ),
    "MinAtar/Breakout-v0": (
        10,
        {
            "dreamer": (
                40_000,
                5_000,
                [*MINATAR, "agent.gradient_steps=8", "agent.gamma=0.99", "network.encoder={kind='minatar_cnn'}"],
            ),
            "vmc": (40_000, 5_000, [*MINATAR, "agent.gradient_steps=4", "agent.latents=32"]),
            "rainbow": (
                40_000,
                5_000,
                [
                    *MINATAR,
                    "agent.buffer_size=40000",
                    "agent.learning_starts=1600",
                    "agent.train_frequency=4",
                    "agent.gradient_steps=4",
                    "agent.batch_size=32",
                    "agent.distribution={kind='c51', atoms=51, v_min=-1.0, v_max=20.0}",
                ],
            ),
            "ppo": (2_000_000, 50_000, ["env.max_episode_steps=1000"]),
        },
    ),
}
SECONDS = [15, 60, 180, 600]


def read(file):
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines))


def evaluations(run):
    return [(int(row["global_step"]), float(row["eval/mean_return"])) for row in read(run / "evaluations.csv")]


def clock(run):
    """The seconds of a run's iterations, by their steps."""
    return [(int(row["global_step"]), float(row["seconds"])) for row in read(run / "timing.csv")]


def by_then(rows, limit):
    """The last score before a limit or about there: an iteration ends a little after the step that was asked for."""
    scores = [score for at, score in rows if at <= 1.02 * limit]
    return scores[-1] if scores else None


def by_steps(run):
    """Evaluations by steps; none after the last."""
    rows = evaluations(run)
    return [*rows, (1.03 * rows[-1][0], None)]


def by_seconds(run):
    """Evaluations by the seconds after which they were made."""
    times = clock(run)
    return [(next(seconds for at, seconds in times if at >= step), score) for step, score in evaluations(run)]


def number(value):
    return "–" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def cell(scores):
    if not scores or any(score is None for score in scores):
        return "–"
    low, high = interval(scores)
    return f"{number(interquartile_mean(scores))} [{number(low)}, {number(high)}]"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--algorithms", nargs="*")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    program = Path(arguments.program).resolve()
    for env in arguments.tasks or TASKS:
        solved, algorithms = TASKS[env]
        print(f"\n### {env}\n")
        print("| | steps | score | reached in a run's evaluations | first reached after, seeds | a run |")
        print("|---|---|---|---|---|---|", flush=True)
        runs = {}
        for algorithm, (steps, every, settings) in algorithms.items():
            if arguments.algorithms and algorithm not in arguments.algorithms:
                continue
            runs[algorithm] = []
            for seed in range(1, arguments.seeds + 1):
                name = f"{algorithm}_{env.replace('/', '-')}_{seed}"
                run = arguments.folder / name
                runs[algorithm].append(run)
                if not (run / "model.safetensors").exists():
                    common = ["--total-timesteps", str(steps), "--eval-every", str(every), "--seed", str(seed), "--threads", "1"]
                    more = [part for setting in ["eval.episodes=20", *settings] for part in ("--set", setting)]
                    subprocess.run(
                        [program, "train", algorithm, env, *common, *more, "--out", arguments.folder, "--name", name],
                        check=True,
                        capture_output=True,
                    )
            rows = [evaluations(run) for run in runs[algorithm]]
            late = [statistics.mean(score for step, score in row if step > 0.75 * steps) for row in rows]
            reached = [[step for step, score in row if score >= solved] for row in rows]
            first = ", ".join(str(steps[0]) if steps else "–" for steps in reached)
            share = f"{100 * statistics.mean(len(a) / len(b) for a, b in zip(reached, rows)):.0f} % ≥ {solved}"
            time = statistics.median(clock(run)[-1][1] for run in runs[algorithm])
            print(f"| {algorithm} | {steps} | {cell(late)} | {share} | {first} | {time:.0f} s |", flush=True)
        if len(runs) < 3:
            continue
        marks = sorted({every * factor for _, every, _ in algorithms.values() for factor in (1, 2, 4, 8)})
        for title, limits, scores in [("steps", marks, by_steps), ("seconds", SECONDS, by_seconds)]:
            print(f"\n| after {title} | {' | '.join(map(str, limits))} |\n|---{'|---' * len(limits)}|")
            for algorithm, of in runs.items():
                cells = [cell([by_then(scores(run), limit) for run in of]) for limit in limits]
                print(f"| {algorithm} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
