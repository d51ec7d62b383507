"""How far runs are: a line on a terminal; a bar and the learning curve in a notebook."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from agon import _agon

if TYPE_CHECKING:
    from pathlib import Path

    from agon.training import Progress

#: Seconds between drawings.
_TERMINAL_EVERY, _NOTEBOOK_EVERY, _CURVE_EVERY = 0.1, 0.3, 2.0
_CELLS = 24


class Display(Protocol):
    """Shows how far runs are."""

    def show(self, progress: Progress) -> None:
        """Shows where a run stands."""

    def close(self) -> None:
        """Shows how things stand at the end."""


def display(wanted: bool | None) -> Display | None:
    """What shows progress where this process runs; none if there is nobody to look, unless it is wanted."""
    if wanted is False:
        return None
    if _in_notebook():
        return _Notebook()
    return _Terminal() if wanted or sys.stderr.isatty() else None


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def _told(progress: Progress) -> str:
    share = min(1.0, progress.env_steps / max(progress.total_timesteps, 1))
    mean = "–" if progress.mean_return != progress.mean_return else f"{progress.mean_return:.1f}"
    speed = progress.steps_per_second
    unit = next(((f"{speed / size:.1f} {letter}" for size, letter in ((1e6, "M"), (1e3, "k")) if speed >= size)), f"{speed:.0f}")
    return f"seed {progress.seed}: {share:4.0%} of {progress.total_timesteps} steps, {unit} steps/s, return {mean}"


class _Terminal:
    """One line on standard error, of the run that told last."""

    def __init__(self) -> None:
        self._drawn = 0.0
        self._last: Progress | None = None

    def show(self, progress: Progress) -> None:
        self._last = progress
        if time.monotonic() - self._drawn >= _TERMINAL_EVERY:
            self._draw("\r")

    def close(self) -> None:
        self._draw("\n")

    def _draw(self, end: str) -> None:
        if self._last is None:
            return
        self._drawn = time.monotonic()
        cells = int(_CELLS * self._last.env_steps / max(self._last.total_timesteps, 1))
        bar = "█" * min(cells, _CELLS) + "░" * (_CELLS - cells)
        sys.stderr.write(f"\r\x1b[2K{bar} {_told(self._last)}{end}")
        sys.stderr.flush()


class _Notebook:
    """A bar for each run and the curve of each, drawn anew now and then."""

    def __init__(self) -> None:
        self._runs: dict[Path, Progress] = {}
        self._curve = ""
        self._drawn = self._curve_drawn = 0.0
        self._handle: Any = None

    def show(self, progress: Progress) -> None:
        self._runs[progress.run] = progress
        if time.monotonic() - self._drawn >= _NOTEBOOK_EVERY:
            self._draw()

    def close(self) -> None:
        self._curve_drawn = 0.0
        self._draw()

    def _draw(self) -> None:
        from IPython.display import HTML, display

        now = time.monotonic()
        self._drawn = now
        if now - self._curve_drawn >= _CURVE_EVERY:
            self._curve_drawn = now
            self._curve = self._picture()
        bars = "".join(
            f'<div><progress value="{run.env_steps}" max="{run.total_timesteps}"></progress> {_told(run)}</div>'
            for run in self._runs.values()
        )
        shown = HTML(f"{bars}{self._curve}")
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)

    def _picture(self) -> str:
        runs: list[tuple[str | None, Path]] = [("return", path) for path in self._runs]
        options = {"x": "steps", "y": "charts/episodic_return", "band": "ci", "title": ""}
        try:
            return _agon.plot(runs, out=None, smooth=1, log_x=False, log_y=False, **options)[0]
        except (_agon.AgonError, ValueError, OSError):
            # No episode has ended yet.
            return ""
