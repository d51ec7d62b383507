"""Cross-checks the rules of the board games with OpenSpiel's: random games of each side are replayed by the other.

    python benches/openspiel_rules.py [GAMES]

Needs the Python package of this project, `pettingzoo` and `open_spiel` (2.0.2 was used). At every position the legal moves are
compared, at the end who has won. In Go, OpenSpiel ends a game as a draw where a position is repeated; here the move that would
repeat one is forbidden, so such moves are checked to be exactly those.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyspiel

import agon


@dataclass
class Pair:
    """One game under both names."""

    id: str
    spiel: str
    arguments: dict[str, Any] = field(default_factory=dict)
    """Which of OpenSpiel's actions each of ours is; the same numbers if there is none."""
    actions: Callable[[Any], list[int]] | None = None
    superko: bool = False


def by_name(size: int) -> Callable[[Any], list[int]]:
    """Go's actions by the names of points."""

    def actions(state: Any) -> list[int]:
        names = {state.action_to_string(0, a).split()[-1].lower(): a for a in state.legal_actions()}
        columns = "abcdefghjklmnopqrst"
        points = [names[f"{columns[c]}{size - r}"] for r in range(size) for c in range(size)]
        return [*points, names["pass"]]

    return actions


def go(size: int) -> Pair:
    arguments = {"size": size, "komi": 7.5, "max_moves": 2 * size * size}
    return Pair("Go-v0", f"go(board_size={size},komi=7.5)", arguments, by_name(size), superko=True)


PAIRS = [
    Pair("TicTacToe-v0", "tic_tac_toe"),
    Pair("ConnectFour-v0", "connect_four"),
    Pair("Othello-v0", "othello"),
    Pair("Hex-v0", "hex(board_size=5)", {"size": 5, "swap": False}),
    Pair("Hex-v0", "hex(board_size=11)", {"size": 11, "swap": False}),
    go(5),
    go(7),
    go(9),
]


class Ours:
    """A game of this project."""

    def __init__(self, pair: Pair) -> None:
        self.env = agon.aec_env(pair.id, **pair.arguments)
        self.env.reset(seed=0)

    def legal(self) -> set[int]:
        mask = self.env.observe(self.env.agent_selection)["action_mask"]
        return set(np.flatnonzero(mask).tolist())

    def play(self, action: int) -> None:
        self.env.step(action)

    def over(self) -> bool:
        return all(self.env.terminations.values()) or all(self.env.truncations.values())

    def returns(self) -> list[float]:
        return [float(self.env.rewards[player]) for player in self.env.possible_agents]


def check(pair: Pair, rng: random.Random, ours_chooses: bool) -> int:
    """Plays one game on both boards; gives the number of moves that only superko forbids."""
    ours, theirs = Ours(pair), pyspiel.load_game(pair.spiel).new_initial_state()
    number_of = pair.actions(theirs) if pair.actions else None
    their = (lambda action: number_of[action]) if number_of else (lambda action: action)
    forbidden = 0
    moves: list[int] = []
    while True:
        assert ours.over() == theirs.is_terminal(), (pair, moves, "one game is over, the other is not")
        if ours.over():
            assert ours.returns() == theirs.returns(), (pair, moves, ours.returns(), theirs.returns())
            return forbidden
        legal, their_legal = {their(action): action for action in ours.legal()}, set(theirs.legal_actions())
        only_theirs = their_legal - set(legal)
        assert set(legal) <= their_legal, (pair, moves, set(legal) - their_legal)
        for action in only_theirs:
            after = theirs.child(action)
            assert pair.superko and after.is_terminal() and after.returns() == [0.0, 0.0], (pair, moves, action)
        forbidden += len(only_theirs)
        choices = sorted(legal) if ours_chooses else sorted(their_legal - only_theirs)
        # Few passes, so that games are long.
        if pair.superko and len(choices) > 1 and rng.random() < 0.97:
            choices = [choice for choice in choices if legal[choice] != len(number_of or []) - 1]
        chosen = rng.choice(choices)
        moves.append(legal[chosen])
        ours.play(legal[chosen])
        theirs.apply_action(chosen)


def main() -> None:
    games = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(f"OpenSpiel {pyspiel.__version__ if hasattr(pyspiel, '__version__') else ''}")
    for pair in PAIRS:
        forbidden = 0
        for ours_chooses in (True, False):
            rng = random.Random(f"{pair.spiel} {ours_chooses}")
            forbidden += sum(check(pair, rng, ours_chooses) for _ in range(games))
        extra = f", {forbidden} repetitions forbidden that end its games" if pair.superko else ""
        print(f"{pair.spiel}: {games} games each way agree{extra}", flush=True)


if __name__ == "__main__":
    main()
