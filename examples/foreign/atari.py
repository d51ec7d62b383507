"""Atari's games as they are usually learned: every fourth frame, grey, 84 × 84 pixels; and Pong's court alone, 42 × 42.

    pip install gymnasium ale-py opencv-python-headless
    agon train ppo gymnasium:Preprocessed/Pong-v0 --set env.module=examples/foreign/atari.py \\
        --set 'env.wrappers=[{ kind = "frame_stack", num_stack = 4 }, { kind = "clip_reward" }]'
"""

import ale_py  # registers the games
import cv2
import gymnasium
import numpy as np


def grey(id: str, render_mode: str | None, **arguments) -> gymnasium.Env:
    """A game frame by frame. Preprocessing asks for grey pictures itself, and colours would be drawn for nobody."""
    return gymnasium.make(id, frameskip=1, obs_type="grayscale", render_mode=render_mode, **arguments)


def make(game: str, render_mode: str | None = None, **arguments) -> gymnasium.Env:
    """A game without ALE's own frame skip, preprocessed; observations are `(84, 84, 1)` bytes."""
    env = grey(f"ALE/{game}-v5", render_mode, **arguments)
    return gymnasium.wrappers.AtariPreprocessing(env, noop_max=30, frame_skip=4, grayscale_newaxis=True)


class Court(gymnasium.ObservationWrapper):
    """What moves between Pong's walls, white on black, `(42, 42, 1)` bytes.

    The score above and the border below say nothing of the game, and the field's own grey is most of a picture's brightness.
    """

    FIELD = 87  # the grey of the field

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(0, 255, (42, 42, 1), np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        moving = np.where(observation[34:194] == self.FIELD, np.uint8(0), np.uint8(255))
        return cv2.resize(moving, (42, 42), interpolation=cv2.INTER_AREA)[..., None]


def make_court(render_mode: str | None = None, **arguments) -> gymnasium.Env:
    """Pong, of which a quarter of the usual pixels is seen: a network for it is several times as fast."""
    env = grey("ALE/Pong-v5", render_mode, **arguments)
    env = gymnasium.wrappers.AtariPreprocessing(env, noop_max=30, frame_skip=4, screen_size=(160, 210))
    return Court(env)


make.metadata = make_court.metadata = {"render_modes": ["rgb_array"]}

for game in ("Breakout", "Pong", "SpaceInvaders"):
    gymnasium.register(f"Preprocessed/{game}-v0", entry_point=make, kwargs={"game": game})
gymnasium.register("Court/Pong-v0", entry_point=make_court)
