"""Imitation from 1, 4 and 16 episodes of an expert: BC, GAIL, AIRL and DAgger, normalised scores.

    python benches/imitation.py PROGRAM FOLDER [TASK ...] [--seed 1] [--seeds 5] [--episodes 1 4 16] [--only ALGORITHM ...] [--steps N]

The experts and scores are those of benches/offline.py, which is asked for its data first. GAIL and AIRL have their presets for the
task; DAgger has no episodes but asks the expert at each of its own steps. A score is the mean return of 100 episodes after
training, between 0 (random actions) and 100 (the expert). Needs Python 3.11, no packages.
"""

import argparse
import json

from offline import TASKS, Bench, interquartile_mean, interval, seed_runs

#: What presets of GAIL and AIRL end in, DAgger's steps.
SETTINGS = {"CartPole-v1": ("cartpole", 5_000), "Pendulum-v1": ("pendulum", 5_000), "LunarLander-v3": ("lunarlander", 20_000)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--episodes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--only", nargs="+", default=["bc", "gail", "airl", "dagger"])
    parser.add_argument("--steps", type=int, help="environment steps of GAIL and AIRL, by default the preset's")
    arguments = parser.parse_args()
    bench = Bench(arguments.program, arguments.folder, arguments.seeds, 5_000)
    for env in arguments.tasks or SETTINGS:
        preset, dagger_steps = SETTINGS[env]
        _, run_arguments, small = TASKS[env]
        sets, (low, high) = bench.make_data(env, run_arguments)
        expert = bench.folder / f"ppo-{bench.name(env)}"
        print(f"\n### {env}\n\nRandom actions {low:.1f}, expert {high:.1f}.\n\n| episodes | {' | '.join(arguments.only)} |\n{'|---' * (1 + len(arguments.only))}|")
        for episodes in arguments.episodes:
            few = f"{bench.name(env)}/expert-{episodes}-v0"
            if not (bench.folder / "sets" / few).exists():
                bench.agon("data", "mix", sets["expert"], "--each", str(episodes), "--out", few)
            cells = []
            for algorithm in arguments.only:
                if algorithm == "dagger" and episodes != arguments.episodes[0]:
                    cells.append("")
                    continue
                steps = ["--total-timesteps", str(arguments.steps)] if arguments.steps else []
                adversarial = ["--preset", f"{algorithm}-{preset}", "--data", few, *steps]
                plain = ["--preset", "none", "--set", small[0]]
                more = {
                    "bc": [*plain, "--data", few, "--total-timesteps", "5000"],
                    "gail": adversarial,
                    "airl": adversarial,
                    "dagger": [*plain, "--set", f"teacher.policy={expert}", "--set", "teacher.decay=constant", "--total-timesteps", str(dagger_steps)],
                }[algorithm]
                longer = f"-{arguments.steps}" if arguments.steps and algorithm in ("gail", "airl") else ""
                run = bench.folder / "imitation" / f"{bench.name(env)}-{algorithm}-{episodes}{longer}-from-{arguments.seed}"
                seeds = seed_runs(run, arguments.seeds, arguments.seed)
                if not (seeds[-1] / "model.safetensors").exists():
                    bench.agon(
                        "train", algorithm, env, "--seed", str(arguments.seed), "--seeds", str(arguments.seeds), "--eval-every",
                        str(10**9), "--set", "eval.episodes=1", "--out", str(run.parent), "--name", run.name, "--json", *more,
                    )
                scores = []
                for seed in seeds:
                    told = json.loads(bench.agon("eval", str(seed), "--episodes", "100", "--json"))
                    scores.append(100 * (told["mean_return"] - low) / (high - low))
                bounds = interval(scores)
                cells.append(f"{interquartile_mean(scores):.0f} [{bounds[0]:.0f}, {bounds[1]:.0f}]")
            print(f"| {episodes} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
