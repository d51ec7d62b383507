#!/usr/bin/env bash
# OpenSpiel 2.0.2: whose side a game's observation tensor shows depends on the game, and half of them ignore the question.
#
# The guess: `state.observation_tensor(player)` is the position as that player sees it, own pieces in one plane and the other
# side's in another, or at least the same kind of thing in all two-player board games.
#
# What happens: in Tic-Tac-Toe, Connect Four, Hex, Go, Breakthrough, Checkers and Dots and Boxes the tensor is the same for both
# players (planes by colour); in Othello, Y, Havannah, Clobber and Pentago it is the player's own view. Nothing in the game's
# type tells which, and the shapes look alike: [3, 6, 7] is by colour, [3, 8, 8] of Othello is by side, [3, 8, 8] of Breakthrough
# by colour. In Connect Four the first row of the tensor is the bottom of the board, in the printed state it is the last one.
#
# Why it matters: a network that was moved from one of these games to another, or to an environment with planes for the
# mover, is shown the other side's pieces as its own every second move. It still plays legal moves and wins against chance.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "open_spiel==2.0.2" "numpy==2.3.4"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import pyspiel

BY_COLOUR = ["tic_tac_toe", "connect_four", "hex(board_size=5)", "go(board_size=5)", "breakthrough", "checkers", "dots_and_boxes"]
BY_SIDE = ["othello", "y(board_size=5)", "havannah(board_size=4)", "clobber", "pentago"]

def is_same_for_both(name):
    state = pyspiel.load_game(name).new_initial_state()
    actions = state.legal_actions()
    state.apply_action(actions[len(actions) // 2])
    return bool(np.array_equal(state.observation_tensor(0), state.observation_tensor(1)))

print("open_spiel", version("open_spiel"))
found = {name: is_same_for_both(name) for name in BY_COLOUR + BY_SIDE}
for name, same in found.items():
    shape = pyspiel.load_game(name).observation_tensor_shape()
    print(f"{name:24} {str(shape):12} {'the same for both players' if same else 'of the player who is asked about'}")
state = pyspiel.load_game("connect_four").new_initial_state()
state.apply_action(3)
planes = np.array(state.observation_tensor(0)).reshape(3, 6, 7)
# One plane has the disc alone.
disc = next(plane for plane in planes if plane.sum() == 1)
row = int(np.argwhere(disc > 0)[0][0])
printed = next(i for i, line in enumerate(str(state).splitlines()) if "x" in line)
print("Connect Four, first disc: row", row, "of the tensor, line", printed, "of the text")
same = all(found[name] for name in BY_COLOUR) and not any(found[name] for name in BY_SIDE) and (row, printed) == (0, 5)
raise SystemExit(0 if same else 1)
PYTHON
