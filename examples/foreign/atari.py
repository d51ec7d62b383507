"""Atari's games as they are usually learned: every fourth frame, grey, 84 × 84 pixels.

    pip install gymnasium ale-py opencv-python-headless
    agon train ppo gymnasium:Preprocessed/Pong-v0 --set env.module=examples/foreign/atari.py \\
        --set 'env.wrappers=[{ kind = "frame_stack", num_stack = 4 }, { kind = "clip_reward" }]'
"""

import ale_py  # registers the games
import gymnasium


def make(game: str, render_mode: str | None = None, **arguments) -> gymnasium.Env:
    """A game without ALE's own frame skip, preprocessed; observations are `(84, 84, 1)` bytes."""
    env = gymnasium.make(f"ALE/{game}-v5", frameskip=1, render_mode=render_mode, **arguments)
    return gymnasium.wrappers.AtariPreprocessing(env, noop_max=30, frame_skip=4, grayscale_newaxis=True)


make.metadata = {"render_modes": ["rgb_array"]}

for game in ("Breakout", "Pong", "SpaceInvaders"):
    gymnasium.register(f"Preprocessed/{game}-v0", entry_point=make, kwargs={"game": game})
