"""What a model of sequences (`dt`) learns from recorded data beside BC, CQL and IQL: where rewards are sparse, and whether it
stitches.

    python benches/sequences.py PROGRAM FOLDER [sparse] [stitching] [tasks] [targets] [--seeds 5] [--updates 2000]

Makes data and runs as `benches/offline.py` does, and keeps what is there already in FOLDER. Plain Python, no packages.

* sparse: tasks that pay once, at their end. Data sets and scores are those of `benches/offline.py`. The transformer has three
  layers of width 32 and sees ten steps. `bc`, `cql` and `iql` take 2.5 times as many updates as `dt`: as many steps in all,
  minibatches of 256 against 64 steps with up to nine before them.
* stitching: random walks along a cliff, none of which is good. A cell is the mean return of episodes that are cut after 300
  steps; the best return of the data and the optimum are beside it, and DQN with four times as many updates, which shows that
  the data have what it takes.
* tasks: CartPole and Acrobot by one network from the data of each, beside one network a task. A cell is the score of a task, as in
  `benches/offline.py`; of two tasks there are twice as many updates.
* targets: what `dt` comes to when other returns are asked for, after training on mixed data of CartPole.
"""

import argparse
import csv
import json

from offline import EPISODES, TASKS, Bench, interquartile_mean, interval, seed_runs

TRANSFORMER = "network.memory={layers=3, heads=4, width=32, feed_forward=128, window=10, position={learned={positions=500}}}"
ALGORITHMS = {
    "dt": ("dt", [TRANSFORMER], 1),
    "bc": ("bc", ["network.encoder.hidden=[64, 64]"], 2.5),
    "10 % bc": ("bc", ["data.best=0.1", "network.encoder.hidden=[64, 64]"], 2.5),
    "cql": ("cql", ["network.encoder.hidden=[64, 64]"], 2.5),
    "iql": ("iql", ["network.encoder.hidden=[64, 64]"], 2.5),
}
PPO = ["--preset", "none", "--set", "num_envs=16", "--set", "agent.num_steps=64", "--set", "agent.ent_coef=0.02"]
# One that bootstraps, and learns the optimum from these walks.
STITCHES = {
    "dqn": (
        "dqn",
        ["network.encoder.hidden=[64, 64]", "agent.learning_rate=1e-3", "agent.batch_size=256", "agent.target_network_frequency=200"],
        4,
    )
}
# Arguments of the environment, and of PPO's run.
SPARSE = {"FrozenLake-v1": (["is_slippery=false"], [*PPO, "--total-timesteps", "100000"])}
TARGETS = [25, 50, 100, 200, 300, 400, 500, 1000]


def cell(values):
    low, high = interval(values)
    return f"{interquartile_mean(values):.0f} [{low:.0f}, {high:.0f}]"


class Sequences(Bench):
    def of(self, env, ident, label, more=()):
        """The mean return of each seed in the last quarter of the updates."""
        algorithm, settings, times = {**ALGORITHMS, **STITCHES}[label]
        settings = [*settings, *more]
        one, self.updates = self.updates, int(self.updates * times)
        try:
            return self.train(env, algorithm, ident, settings, label)
        finally:
            self.updates = one

    def sparse(self):
        for env, (arguments, run_arguments) in SPARSE.items():
            more = [f"env.args.{argument}" for argument in arguments]
            run_arguments = [*(part for setting in more for part in ("--set", setting)), *run_arguments]
            random = f"{self.name(env)}/random-v0"
            if not (self.folder / "sets" / random).exists():
                own = [part for argument in arguments for part in ("--arg", argument)]
                self.agon("data", "record", env, "--episodes", str(EPISODES), "--out", random, *own)
            sets, (low, high) = self.make_data(env, run_arguments)
            print(f"\n### {env}\n\nRandom actions {low:.2f}, expert data {high:.2f}.\n", flush=True)
            print(f"| data | return of the data | {' | '.join(ALGORITHMS)} |")
            print("|---" * (len(ALGORITHMS) + 2) + "|", flush=True)
            for quality, ident in sets.items():
                score = lambda value: 100 * (value - low) / (high - low)
                cells = [cell([score(value) for value in self.of(env, ident, label, more)]) for label in ALGORITHMS]
                print(f"| {quality} | {score(self.returns(ident)):.0f} | {' | '.join(cells)} |", flush=True)

    def stitching(self):
        env, ident = "CliffWalking-v1", "cliffwalking-v1/random-v0"
        if not (self.folder / "sets" / ident).exists():
            self.agon("data", "record", env, "--episodes", "30", "--out", ident)
        returns = self.told(ident)["returns"]
        # There is no time limit, and who never comes to the end would walk for ever.
        cut = ["eval.max_episode_steps=300"]
        print(f"\n### {env}\n\nReturns of the data: {json.dumps(returns)}. The optimum is -13.\n")
        labels = [*ALGORITHMS, *STITCHES]
        print(f"| {' | '.join(labels)} | dt asked for the optimum |")
        print("|---" * (len(labels) + 1) + "|", flush=True)
        cells = [cell(self.of(env, ident, label, cut)) for label in labels]
        run = self.folder / "runs" / f"{self.name(env)}-random-v0-dt"
        asked = ["--target-return", "-13", "--episodes", "20", "--set", "env.max_episode_steps=300", "--json"]
        found = json.loads(self.agon("eval", str(run), *asked))
        cells.append(cell([seed["mean_return"] for seed in found["seeds"]]))
        print(f"| {' | '.join(cells)} |", flush=True)

    def tasks(self):
        envs, quality, labels = ["CartPole-v1", "Acrobot-v1"], "medium-replay", ["dt", "bc"]
        data = {env: self.make_data(env, TASKS[env][1]) for env in envs}
        together = "+".join(envs)
        print(f"\n### {together}, {quality}\n")
        print(f"| | {' | '.join(f'{env} alone | {env} together' for env in envs)} |\n|---{'|---' * 2 * len(envs)}|", flush=True)
        for label in labels:
            algorithm, settings, times = ALGORITHMS[label]
            updates, run = int(2 * self.updates * times), self.folder / "runs" / f"tasks-{label}"
            seeds = seed_runs(run, self.seeds)
            if not (seeds[-1] / "model.safetensors").exists():
                sets = [part for env in envs for part in ("--data", data[env][0][quality])]
                assignments = [part for setting in settings for part in ("--set", setting)]
                self.agon(
                    "train", algorithm, together, *sets, "--seeds", str(self.seeds), "--total-timesteps", str(updates),
                    "--set", "eval.episodes=40", "--out", str(run.parent), "--name", run.name, "--preset", "none", *assignments, "--json",
                )
            cells = []
            for env in envs:
                (sets, (low, high)), late = data[env], []
                score = lambda value: 100 * (value - low) / (high - low)
                cells.append(cell([score(value) for value in self.of(env, sets[quality], label)]))
                for seed in seeds:
                    with open(seed / "evaluations.csv", newline="") as file:
                        rows = list(csv.DictReader(file))
                    own = [float(row[f"eval/{env}/return"]) for row in rows if float(row["global_step"]) > 0.75 * updates]
                    late.append(score(sum(own) / len(own)))
                cells.append(cell(late))
            print(f"| {label} | {' | '.join(cells)} |", flush=True)

    def targets(self):
        env = "CartPole-v1"
        sets, _ = self.make_data(env, ["--total-timesteps", "100000"])
        print(f"\n### {env}: returns that are asked for\n\n| data | {' | '.join(map(str, TARGETS))} |")
        print("|---" * (len(TARGETS) + 1) + "|", flush=True)
        for quality in ("medium-replay", "mixed"):
            self.of(env, sets[quality], "dt")
            run = self.folder / "runs" / f"{self.name(env)}-{quality}-v0-dt"
            cells = []
            for target in TARGETS:
                found = json.loads(self.agon("eval", str(run), "--episodes", "20", "--target-return", str(target), "--json"))
                cells.append(cell([seed["mean_return"] for seed in found["seeds"]]))
            print(f"| {quality} | {' | '.join(cells)} |", flush=True)


def main():
    parts = ["sparse", "stitching", "tasks", "targets"]
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("parts", nargs="*", choices=[*parts, []], default=[])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=2_000)
    arguments = parser.parse_args()
    bench = Sequences(arguments.program, arguments.folder, arguments.seeds, arguments.updates)
    for part in arguments.parts or parts:
        getattr(bench, part)()


if __name__ == "__main__":
    main()
