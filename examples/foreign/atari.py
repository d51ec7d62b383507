"""Atari's games as they are usually learned: every fourth frame, grey, 84 × 84 pixels; Pong's court alone, 40 × 40; and where its
ball and paddles are.

    pip install gymnasium ale-py opencv-python-headless
    agon train ppo gymnasium:Preprocessed/Pong-v0 --set env.module=examples/foreign/atari.py \\
        --set 'env.wrappers=[{ kind = "frame_stack", num_stack = 4 }, { kind = "clip_reward" }]'
"""

import ale_py  # registers the games
import cv2
import gymnasium
import numpy as np


def make(game: str, render_mode: str | None = None, **arguments) -> gymnasium.Env:
    """A game without ALE's own frame skip, preprocessed; observations are `(84, 84, 1)` bytes."""
    # Preprocessing asks for grey pictures itself, and colours would be drawn for nobody.
    env = gymnasium.make(
        f"ALE/{game}-v5", frameskip=1, obs_type="grayscale", render_mode=render_mode, **arguments
    )
    return gymnasium.wrappers.AtariPreprocessing(env, noop_max=30, frame_skip=4, grayscale_newaxis=True)


class Court(gymnasium.ObservationWrapper):
    """What moves between Pong's walls, white on black, `(40, 40, 1)` bytes.

    The score above and the border below say nothing of the game, and the field's own grey is most of a picture's brightness.
    """

    FIELD = 87  # the grey of the field

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(0, 255, (40, 40, 1), np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        moving = cv2.compare(observation[34:194], self.FIELD, cv2.CMP_NE)
        return cv2.resize(moving, (40, 40), interpolation=cv2.INTER_AREA)[..., None]


def make_court(render_mode: str | None = None, **arguments) -> gymnasium.Env:
    """Pong as `ALE/Pong-v5` steps it, of which a quarter of the usual pixels are seen: a network for it is several times as fast.

    Nothing flickers in Pong, so that no two frames need be joined.
    """
    return Court(gymnasium.make("ALE/Pong-v5", obs_type="grayscale", render_mode=render_mode, **arguments))


class Positions(gymnasium.ObservationWrapper):
    """Where Pong's ball and paddles are and how they move, of the console's memory, `(8,)`.

    Ball x and y, their change since the last observation, the heights of the own and the other paddle above the ball, the own
    paddle's height and its change: places as shares of 64, changes as shares of 8. A ball that is out of play does not move.

    The places in the memory are those that Anand et al. (2019), arXiv:1906.08226, give.
    """

    PLACES = [49, 54, 51, 50]

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(-4.0, 4.0, (8,), np.float32)
        self.last: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        self.last = None
        return super().reset(seed=seed, options=options)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        now = observation[self.PLACES].astype(np.float32) / np.float32(64)
        change = np.float32(8) * (now - (now if self.last is None else self.last))
        if self.last is None or not (now[:2].all() and self.last[:2].all()):
            change[:2] = 0
        self.last = now
        ball, own, other = now[:2], now[2], now[3]
        seen = [*ball, *change[:2], own - ball[1], other - ball[1], own, change[2]]
        return np.clip(np.array(seen, np.float32), -4, 4)


def make_positions(render_mode: str | None = None, **arguments) -> gymnasium.Env:
    """Pong as `ALE/Pong-v5` steps it, without pictures."""
    return Positions(gymnasium.make("ALE/Pong-v5", obs_type="ram", render_mode=render_mode, **arguments))


make.metadata = make_court.metadata = make_positions.metadata = {"render_modes": ["rgb_array"]}

for game in ("Breakout", "Pong", "SpaceInvaders"):
    gymnasium.register(f"Preprocessed/{game}-v0", entry_point=make, kwargs={"game": game})
gymnasium.register("Court/Pong-v0", entry_point=make_court)
gymnasium.register("Positions/Pong-v0", entry_point=make_positions)
