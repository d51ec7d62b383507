"""OpenSpiel's MCTS as an engine that speaks the Go Text Protocol, for `agon arena`.

    agon arena RUN gtp:"python benches/openspiel_gtp.py connect_four --simulations 1000" --together 1

Needs `open_spiel` (2.0.2 was used). The search is its `MCTSBot` with random rollouts, UCT's constant 2 and its solver, in
Python; with `--cpp` it is that of its C++ library. Games: tic_tac_toe, connect_four, othello, go.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import pyspiel
from open_spiel.python.algorithms import mcts


def names(game: str, state: Any, size: int) -> dict[str, int]:
    """OpenSpiel's action of each move's name, as this project writes it."""
    letters = "abcdefghjklmnopqrst" if game == "go" else "abcdefgh"
    if game == "connect_four":
        return {str(column + 1): column for column in range(7)}
    if game == "tic_tac_toe":
        return {f"{letters[a % 3]}{3 - a // 3}": a for a in range(9)}
    if game == "othello":
        # Rows are counted from the top.
        return {f"{letters[a % 8]}{a // 8 + 1}": a for a in range(64)} | {"pass": 64}
    return {state.action_to_string(0, a).split()[-1].lower(): a for a in range(size * size + 1)}


class Engine:
    """A board and who thinks about it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.size, self.komi = 9, 7.5
        self.clear()

    def clear(self) -> None:
        text = self.options.game
        if text == "go":
            text = f"go(board_size={self.size},komi={self.komi})"
        game = pyspiel.load_game(text)
        self.state = game.new_initial_state()
        self.actions = names(self.options.game, self.state, self.size)
        self.names = {action: name for name, action in self.actions.items()}
        simulations, seed = self.options.simulations, self.options.seed
        if self.options.cpp:
            judge = pyspiel.RandomRolloutEvaluator(1, seed)
            self.bot = pyspiel.MCTSBot(game, judge, 2.0, simulations, 1000, True, seed, False)
        else:
            rng = np.random.RandomState(seed)
            judge = mcts.RandomRolloutEvaluator(1, rng)
            self.bot = mcts.MCTSBot(game, 2.0, simulations, judge, random_state=rng)

    def play(self, name: str) -> None:
        # A game that ends by a repetition goes on here.
        if not self.state.is_terminal():
            self.state.apply_action(self.actions[name.lower()])

    def choose(self) -> str:
        if self.state.is_terminal():
            return "pass"
        action = self.bot.step(self.state)
        self.state.apply_action(action)
        return self.names[action]

    def answer(self, command: str, words: list[str]) -> str:
        match command:
            case "protocol_version":
                return "2"
            case "name":
                return "OpenSpiel MCTS"
            case "version":
                return str(getattr(pyspiel, "__version__", ""))
            case "boardsize":
                self.size = int(words[0])
                self.clear()
            case "komi":
                self.komi = float(words[0])
                self.clear()
            case "clear_board":
                self.clear()
            case "play":
                self.play(words[1])
            case "genmove":
                return self.choose()
            case "quit":
                pass
            case _:
                raise ValueError("unknown command")
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("game", choices=["tic_tac_toe", "connect_four", "othello", "go"])
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpp", action="store_true", help="OpenSpiel's C++ MCTS instead of its Python one")
    engine = Engine(parser.parse_args())
    for line in sys.stdin:
        words = line.split()
        if not words:
            continue
        try:
            print(f"= {engine.answer(words[0], words[1:])}\n", flush=True)
        except (KeyError, ValueError, IndexError, RuntimeError) as error:
            print(f"? {error}\n", flush=True)
        if words[0] == "quit":
            return


if __name__ == "__main__":
    main()
