"""How environments can be seen."""

from __future__ import annotations

from functools import cache
from typing import Any

from agon import _agon

# A picture `[height, width, 3]`, text, or nothing.
Rendered = Any


@cache
def render_modes(id: str) -> tuple[str, ...]:
    """The modes in which an environment of this id can be drawn."""
    core = _agon.Vector(
        id,
        1,
        num_threads=1,
        autoreset="NextStep",
        arguments={},
        wrappers=[],
        max_episode_steps=None,
        copy=True,
        statistics=False,
    )
    core.reset([0])
    modes = {"rgb_array": core.render(0), "ansi": core.render_text(0)}
    return tuple(mode for mode, drawn in modes.items() if drawn is not None)


def check_render_mode(id: str, render_mode: str | None) -> None:
    """Refuses a mode in which the environment cannot be drawn."""
    if render_mode is not None and render_mode not in render_modes(id):
        raise ValueError(
            f"render_mode of {id} must be None or one of {render_modes(id)}, got {render_mode!r}"
        )


def render(core: Any, env: int, render_mode: str | None) -> Rendered:
    """An environment of a vector: a picture `[height, width, 3]`, text, or nothing without a mode."""
    if render_mode == "rgb_array":
        return core.render(env)
    if render_mode == "ansi":
        return core.render_text(env)
    return None
