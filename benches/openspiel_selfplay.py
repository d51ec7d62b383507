"""Self-play speed of OpenSpiel's Python AlphaZero (JAX) beside this project's, on Connect Four with networks of one size.

    python benches/openspiel_selfplay.py AGON [SECONDS] [PROCESSES]

Needs `open_spiel` (2.0.2 was used; its wheel has no C++ AlphaZero), `jax`, `flax`, `optax`, `chex` and `orbax-checkpoint`, and
the program AGON. Both play with 32 simulations a move and a residual tower of 4 blocks of 32 channels, in turns, three times
each; OpenSpiel's actors are processes, as its own `alpha_zero` has them. A position counts when a move was searched in it.
"""

from __future__ import annotations

import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SIMULATIONS = 32


def theirs(seconds: float, seed: int, results: Any) -> None:
    """Plays games for so long in one process; puts positions a second."""
    import numpy as np
    import pyspiel
    from open_spiel.python.algorithms import mcts
    from open_spiel.python.algorithms.alpha_zero import evaluator, utils

    game = pyspiel.load_game("connect_four")
    with tempfile.TemporaryDirectory() as path:
        model = utils.api_selector("nnx").Model.build_model(
            "resnet", game.observation_tensor_shape(), game.num_distinct_actions(), 32, 4, 1e-4, 1e-3, path
        )
        judge = evaluator.AlphaZeroEvaluator(game, model)
        bot = mcts.MCTSBot(
            game,
            1.4,
            SIMULATIONS,
            judge,
            solve=False,
            dirichlet_noise=(0.25, 1.0),
            child_selection_fn=mcts.SearchNode.puct_value,
            dont_return_chance_node=True,
        )
        rng = np.random.RandomState(seed)
        positions, begin = 0, None
        while begin is None or time.perf_counter() - begin < seconds:
            state = game.new_initial_state()
            while not state.is_terminal():
                root = bot.mcts_search(state)
                visits = np.zeros(game.num_distinct_actions())
                for child in root.children:
                    visits[child.action] = child.explore_count
                state.apply_action(int(rng.choice(len(visits), p=visits / visits.sum())))
                positions += 1
            if begin is None:
                # The first game compiles.
                positions, begin = 0, time.perf_counter()
    results.put(positions / (time.perf_counter() - begin))


def openspiel(seconds: float, processes: int) -> float:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    actors = [context.Process(target=theirs, args=(seconds, seed, results)) for seed in range(processes)]
    for actor in actors:
        actor.start()
    speeds = [results.get() for _ in actors]
    for actor in actors:
        actor.join()
    return sum(speeds)


def agon(program: str, seconds: float) -> float:
    """Steps a second of a run that does not learn."""
    with tempfile.TemporaryDirectory() as path:
        settings = ["agent.learning_starts=500000", f"agent.search={{simulations={SIMULATIONS}, outcomes=0}}"]
        command = [program, "train", "alphazero", "ConnectFour-v0", "--out", path, "--seed", "1"]
        for setting in settings:
            command += ["--set", setting]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds + 5)
        process.terminate()
        process.wait()
        timing = next(Path(path).glob("*/timing.csv")).read_text().splitlines()
        names = timing[0].split(",")
        rows = [dict(zip(names, line.split(","))) for line in timing[1:]]
        # The first iteration makes room.
        first, last = rows[0], rows[-1]
        steps = int(last["global_step"]) - int(first["global_step"])
        return steps / (float(last["seconds"]) - float(first["seconds"]))


def main() -> None:
    program = sys.argv[1]
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    processes = int(sys.argv[3]) if len(sys.argv) > 3 else multiprocessing.cpu_count()
    own, other = [], []
    for _ in range(3):
        own.append(agon(program, seconds))
        other.append(openspiel(seconds, processes))
    for name, speeds in [("agon", own), ("OpenSpiel", other)]:
        median = statistics.median(speeds)
        listed = ", ".join(f"{speed:.1f}" for speed in speeds)
        print(f"{name}: {median:.1f} positions/s, {median * SIMULATIONS:.0f} simulations/s (of {listed})")
    print(f"ratio {statistics.median(own) / statistics.median(other):.1f}")


if __name__ == "__main__":
    main()
