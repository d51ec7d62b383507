"""What is learned from few steps: SAC with many updates a step, with recorded data beside its own, and from what was learned from data.

    python benches/few_steps.py PROGRAM FOLDER [--env Pendulum-v1] [--seeds 3] [--steps 3000] [--quality medium-replay]

Makes the data as benches/offline.py does and prints a table in Markdown: the mean evaluation over the whole run and over its last
quarter, the interquartile mean over seeds with a 95 % interval, and environment steps a second. What is there already in FOLDER is
not made again. Plain Python, no packages.
"""

import argparse
import csv

from offline import TASKS, Bench, interquartile_mean, interval

MANY = ["agent.gradient_steps=20"]
SMALL = ["network.encoder.hidden=[64, 64]", "agent.learning_starts=500"]
#: Label: algorithm, preset, settings, whether with data, and what of those learned from data it begins with.
WAYS = {
    "sac, 1 update": ("sac", "none", [], False, None),
    "sac, 20 updates": ("sac", "none", MANY, False, None),
    "20 updates, layer norms": ("sac", "none", [*MANY, "agent.critics={layer_norm=true}"], False, None),
    "20 updates, layer norms, resets": (
        "sac", "none", [*MANY, "agent.critics={layer_norm=true}", "agent.reset_every=20000"], False, None,
    ),
    "redq": ("sac", "redq", [], False, None),
    "droq": ("sac", "droq", [], False, None),
    "sac, 1 update, with data": ("sac", "none", [], True, None),
    "rlpd": ("sac", "rlpd", [], True, None),
    "td3-bc": ("td3-bc", "none", ["agent.learning_starts=0"], True, "td3-bc"),
    "iql": ("iql", "none", [], True, "iql"),
    "cal-ql": ("cal-ql", "none", ["agent.learning_starts=0"], True, "cal-ql"),
    "awac": ("awac", "none", [], True, "awac"),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--env", default="Pendulum-v1")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--updates", type=int, default=10_000, help="updates of what is learned from data at first")
    parser.add_argument("--quality", default="medium-replay")
    arguments = parser.parse_args()
    bench = Bench(arguments.program, arguments.folder, arguments.seeds, arguments.updates)
    sets, (low, high) = bench.make_data(arguments.env, TASKS[arguments.env][1])
    print(f"{arguments.env}, {arguments.steps} steps: random actions {low:.1f}, expert data {high:.1f}.\n")
    print("| | all evaluations | last quarter | steps a second |\n|---|---|---|---|", flush=True)
    for label, (algorithm, preset, settings, with_data, begins) in WAYS.items():
        name = f"few-{bench.name(arguments.env)}-{label.replace(' ', '').replace(',', '-')}"
        all_steps, late, speeds = [], [], []
        for seed in range(1, arguments.seeds + 1):
            run = bench.folder / "runs" / f"{name}_{seed}"
            common = ["--set", "network.encoder.hidden=[64, 64]", "--seed", str(seed), "--threads", "1"]
            more = ["--data", sets[arguments.quality], "--acts"] if with_data else []
            if begins:
                before = bench.folder / "runs" / f"{name}_before_{seed}"
                if not (before / "model.safetensors").exists():
                    bench.agon(
                        "train", begins, arguments.env, "--data", sets[arguments.quality], "--preset", "none", *common,
                        "--total-timesteps", str(arguments.updates), "--out", str(before.parent), "--name", before.name, "--json",
                    )
                more += ["--init-from", str(before)]
            if not (run / "model.safetensors").exists():
                own = SMALL if begins is None else []
                assignments = [part for setting in [*own, *settings] for part in ("--set", setting)]
                bench.agon(
                    "train", algorithm, arguments.env, "--preset", preset, *common, *assignments, *more,
                    "--total-timesteps", str(arguments.steps), "--eval-every", str(arguments.steps // 20),
                    "--out", str(run.parent), "--name", run.name, "--json",
                )
            with open(run / "evaluations.csv", newline="") as file:
                rows = [(float(row["global_step"]), float(row["eval/mean_return"])) for row in csv.DictReader(file)]
            with open(run / "timing.csv", newline="") as file:
                speeds.append(float(list(csv.DictReader(file))[-1]["steps_per_second"]))
            all_steps.append(sum(score for _, score in rows) / len(rows))
            last = [score for step, score in rows if step > 0.75 * arguments.steps]
            late.append(sum(last) / len(last))
        cell = lambda scores: "{:.0f} [{:.0f}, {:.0f}]".format(interquartile_mean(scores), *interval(scores))
        print(f"| {label} | {cell(all_steps)} | {cell(late)} | {sum(speeds) / len(speeds):.0f} |", flush=True)


if __name__ == "__main__":
    main()
