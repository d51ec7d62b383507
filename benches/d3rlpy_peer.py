"""BC, IQL and TD3+BC beside d3rlpy's: the same data, network sizes, minibatches and step sizes.

    python benches/d3rlpy_peer.py PROGRAM FOLDER [--rounds 3] [--updates 3000]      updates a second, in turns
    python benches/d3rlpy_peer.py PROGRAM FOLDER --scores QUALITY/ALGORITHM …       d3rlpy's scores on Pendulum's data

FOLDER is that of benches/offline.py, which makes the data and has our scores. Needs d3rlpy 2.8.1 (which wants Gymnasium 1.0.0, so an environment of its own) and h5py. Both sides use as many threads as the
machine has cores. Medians over rounds; an evaluation of one episode at the end is part of our time.
"""

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import d3rlpy
import gymnasium
import h5py
import numpy as np

EPISODES = 50
IDENT = "pendulum/speed-v0"


def read(path):
    """Our HDF5 file as d3rlpy's data set."""
    parts = {name: [] for name in ("observations", "actions", "rewards", "terminals", "timeouts")}
    with h5py.File(path, "r") as file:
        for number in range(len(file)):
            episode = file[f"episode_{number}"]
            parts["observations"].append(episode["observations"][:-1])
            parts["actions"].append(episode["actions"][:])
            parts["rewards"].append(episode["rewards"][:].astype(np.float32))
            parts["terminals"].append(episode["terminations"][:].astype(np.float32))
            parts["timeouts"].append(episode["truncations"][:].astype(np.float32))
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    return d3rlpy.dataset.MDPDataset(**joined)


def theirs(name, data, updates):
    config = {
        "bc": d3rlpy.algos.BCConfig(batch_size=256),
        "iql": d3rlpy.algos.IQLConfig(batch_size=256),
        "td3-bc": d3rlpy.algos.TD3PlusBCConfig(batch_size=256),
    }[name]
    learner = config.create(device=False)
    learner.build_with_dataset(data)
    began = time.perf_counter()
    learner.fit(
        data, n_steps=updates, n_steps_per_epoch=updates, show_progress=False, save_interval=10**9,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
    )
    return updates / (time.perf_counter() - began)


def score(name, data, seed, updates, evaluations=5, episodes=20):
    """The mean return of evaluations in the last quarter, as benches/offline.py has it."""
    d3rlpy.seed(seed)
    encoder = d3rlpy.models.VectorEncoderFactory([64, 64])
    more = {} if name == "bc" else {"critic_encoder_factory": encoder, "actor_encoder_factory": encoder}
    # Its policies go from -1 to 1 unless they are told where actions lie.
    more["action_scaler"] = d3rlpy.preprocessing.MinMaxActionScaler(minimum=[-2.0], maximum=[2.0])
    config = {
        "bc": lambda: d3rlpy.algos.BCConfig(batch_size=256, encoder_factory=encoder, **more),
        "iql": lambda: d3rlpy.algos.IQLConfig(batch_size=256, value_encoder_factory=encoder, **more),
        "td3-bc": lambda: d3rlpy.algos.TD3PlusBCConfig(batch_size=256, **more),
    }[name]()
    learner = config.create(device=False)
    environment = gymnasium.make("Pendulum-v1")
    returns = []
    step = updates // 20
    fitter = learner.fitter(
        data, n_steps=updates, n_steps_per_epoch=step, show_progress=False, save_interval=10**9,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
    )
    for epoch, _ in fitter:
        if epoch <= 20 - evaluations:
            continue
        for episode in range(episodes):
            observation, _ = environment.reset(seed=1_000_000 * seed + 1000 * epoch + episode)
            total, ended = 0.0, False
            while not ended:
                action = learner.predict(observation[None])[0]
                observation, reward, terminated, truncated, _ = environment.step(action)
                total, ended = total + float(reward), terminated or truncated
            returns.append(total)
    return float(np.mean(returns))


def ours(program, folder, name, updates):
    done = subprocess.run(
        [
            program, "train", name, "Pendulum-v1", "--data", IDENT, "--preset", "none", "--total-timesteps", str(updates),
            "--eval-every", str(updates), "--set", "eval.episodes=1", "--set", "agent.batch_size=256",
            "--set", "network.encoder.hidden=[256, 256]", "--out", str(folder), "--name", f"speed-{name}", "--force", "--json",
        ],
        env={**os.environ, "MINARI_DATASETS_PATH": str(folder / "sets")}, capture_output=True, text=True, check=True,
    )
    return json.loads(done.stdout)[0]["steps_per_second"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=3000)
    parser.add_argument("--scores", nargs="+", default=[])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for cell in arguments.scores:
        quality, name = cell.split("/")
        sets = arguments.folder / "sets" / "pendulum-v1"
        mean = lambda of: float(np.mean([r.compute_return() for r in read(sets / f"{of}-v0" / "data" / "main_data.hdf5").episodes]))
        low, high = mean("random"), mean("expert")
        data = read(sets / f"{quality}-v0" / "data" / "main_data.hdf5")
        scores = [100 * (score(name, data, seed, 20_000) - low) / (high - low) for seed in range(1, arguments.seeds + 1)]
        print(f"{cell}: {np.mean(scores):.0f} ({', '.join(f'{value:.0f}' for value in scores)})", flush=True)
    if arguments.scores:
        return
    program, folder = str(Path(arguments.program).resolve()), arguments.folder.resolve()
    file = folder / "sets" / IDENT / "data" / "main_data.hdf5"
    if not file.exists():
        subprocess.run(
            [program, "data", "record", "Pendulum-v1", "--episodes", str(EPISODES), "--out", IDENT],
            env={**os.environ, "MINARI_DATASETS_PATH": str(folder / "sets")}, check=True, stdout=subprocess.DEVNULL,
        )
    data = read(file)
    print("| algorithm | ours, updates/s | d3rlpy " + d3rlpy.__version__ + ", updates/s | factor |\n|---|---|---|---|")
    for name in ("bc", "iql", "td3-bc"):
        rounds = [(ours(program, folder, name, arguments.updates), theirs(name, data, arguments.updates)) for _ in range(arguments.rounds)]
        mine, other = (statistics.median(side) for side in zip(*rounds))
        told = lambda side: f"({min(side):.0f} to {max(side):.0f})"
        print(f"| {name} | {mine:.0f} {told([a for a, _ in rounds])} | {other:.0f} {told([b for _, b in rounds])} | {mine / other:.1f} |", flush=True)


if __name__ == "__main__":
    main()
