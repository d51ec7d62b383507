"""Whole runs as tasks: seeds of an experiment, trials of a sweep, entries of a suite.

What is decided (which trials go on, what is measured) is decided where the call is made, from files that all nodes share;
a task only brings a run to a step, from wherever the run stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray

from agon import _agon
from agon.ray.cluster import LOOK_EVERY_S, connect, num_cpus, num_nodes
from agon.ray.workers import Workers
from agon.runs import PathLike, Run
from agon.training import Callback, TrainedRun, _ended, _Watching, plain


def train(
    algorithm: str,
    env: str,
    *,
    seeds: int = 1,
    settings: Mapping[str, Any] | None = None,
    preset: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    out: PathLike = "results",
    name: str | None = None,
    force: bool = False,
    address: str | None = None,
    callback: Callback | None = None,
    progress: bool | None = None,
    **options: Any,
) -> TrainedRun:
    """As :func:`agon.train`, on a cluster: each seed as a task with ``threads`` cores, one by default, wherever there are some.

    Of one run in asynchronous mode (``runtime.mode = "async"``, as APPO and IMPALA have it) it is the workers that are
    spread, as actors with a core each, and the learner is here, with ``threads``. There are as many as shards and cores, or
    ``workers``.

    ``out`` must be a directory that all nodes share, unless the learner is here. A run whose node dies goes on elsewhere
    from its last checkpoint and ends with the same bits; so does everything if this call is made again with the same
    ``name``. A worker whose node dies begins new episodes elsewhere. ``address`` is that of a cluster that runs; without one
    Ray finds or starts its own. ``options`` are the others of :func:`agon.train`.

    Raises
        ValueError: for settings that do not fit.
        AgonError: if a run fails by itself (the others have ended by then), or a node does not see ``out``.
    """
    path = None if name is None or force else Path(out) / name
    if path is not None and any((path / file).exists() for file in ("config.toml", "experiment.toml")):
        return resume(
            path, threads=threads, workers=workers, address=address, callback=callback, progress=progress
        )
    settings = plain(settings or {})
    spread = seeds == 1 and _is_async(_agon.configure(algorithm, env, settings, preset=preset))
    connect(address)
    engine = Workers(workers) if spread else Runs(threads or 1)
    options = {
        "threads": threads,
        "preset": preset,
        "seeds": seeds,
        "out": out,
        "name": name,
        "force": force,
        **options,
    }
    with _Watching(callback, progress) as watching:
        return _ended(_agon.train(algorithm, env, settings, engine=engine, **options, **watching.arguments()))


def resume(
    run: PathLike | Run,
    *,
    total_timesteps: int | None = None,
    threads: int | None = None,
    workers: int | None = None,
    address: str | None = None,
    callback: Callback | None = None,
    progress: bool | None = None,
) -> TrainedRun:
    """As :func:`agon.resume`, on a cluster as :func:`train`."""
    path = run.path if isinstance(run, Run) else Path(run)
    spread = not (path / "experiment.toml").exists() and _is_async(_agon.config(path))
    connect(address)
    engine = Workers(workers) if spread else Runs(threads or 1)
    options = {"total_timesteps": total_timesteps, "threads": threads, "engine": engine}
    with _Watching(callback, progress) as watching:
        return _ended(_agon.resume(path, **options, **watching.arguments()))


def sweep(
    file: PathLike,
    *,
    out: PathLike = "results",
    name: str | None = None,
    threads: int = 1,
    address: str | None = None,
    callback: Callback | None = None,
    progress: bool | None = None,
) -> dict[str, Any] | None:
    """Runs a sweep file, or goes on with it, each run as a task with ``threads`` cores; as ``agon sweep``, with the same files.

    Gives its ``trials``, the best first; ``None`` if the callback stopped it. ``out`` must be a directory that all nodes share.
    """
    connect(address)
    path = Path(out) / (name or Path(file).stem)
    with _Watching(callback, progress) as watching:
        return _agon.sweep(file, path, engine=Runs(threads), **watching.arguments())


def suite(
    file: PathLike,
    *,
    only: str | None = None,
    threads: int = 1,
    address: str | None = None,
    callback: Callback | None = None,
    progress: bool | None = None,
) -> list[dict[str, Any]]:
    """Trains and measures the entries of a suite file that are not done, each seed as a task with ``threads`` cores; as
    ``agon suite``, with the same files. Entries that are measured for speed stay on this machine.

    Gives how every entry stands: ``name``, ``done``, ``scores``, ``reached``, ``failures``. The file's directory must be one
    that all nodes share.
    """
    connect(address)
    with _Watching(callback, progress) as watching:
        return _agon.suite(file, only=only, engine=Runs(threads), **watching.arguments())


def _is_async(config: Mapping[str, Any]) -> bool:
    return config["runtime"]["mode"] == "async"


class Runs:
    """Has runs trained as tasks; what the compiled half asks of an engine."""

    spread = "runs"

    def __init__(self, threads: int = 1) -> None:
        #: Cores of each run.
        self.threads = threads

    @property
    def places(self) -> int:
        """Runs that the cluster has room for at once."""
        return max(1, int(num_cpus() // self.threads))

    def describe(self) -> str:
        """The cluster, in words."""
        return f"Ray {ray.__version__}, {num_nodes()} nodes with {num_cpus():g} cores"

    def begin(self, orders: list[tuple[str, bytes]]) -> Work:
        """Begins to have orders fulfilled, as many at once as there is room for."""
        return Work(orders, self.threads)


class Work:
    """Orders under way."""

    def __init__(self, orders: list[tuple[str, bytes]], num_cpus: float) -> None:
        # However often its node dies, a run goes on; one that fails by itself has said so in its answer.
        task = ray.remote(num_cpus=num_cpus, max_retries=-1)(_fulfil)
        self._names = [name for name, _ in orders]
        self._pending = {
            task.options(name=name).remote(job): index for index, (name, job) in enumerate(orders)
        }
        self._stopped = False

    def news(self) -> tuple[int | None, bytes] | None:
        """Waits a little for an order to be fulfilled: its index and answer; no index if there is none, nothing at the end.

        Raises
            AgonError: what an order failed with.
        """
        if not self._pending:
            return None
        ready, _ = ray.wait(list(self._pending), timeout=LOOK_EVERY_S)
        if not ready:
            return None, b""
        index = self._pending.pop(ready[0])
        try:
            return index, ray.get(ready[0])
        except ray.exceptions.TaskCancelledError:
            return None, b""
        except ray.exceptions.RayError as error:
            if self._stopped:
                return None, b""
            self.stop()
            while self._pending:
                self.news()
            cause = getattr(error, "cause", None) or error
            raise _agon.AgonError(f"{self._names[index]}: {cause}") from error

    def stop(self) -> None:
        """Has runs stop at their next checkpoint, and begins no other."""
        self._stopped = True
        for task in self._pending:
            ray.cancel(task)


def _fulfil(job: bytes) -> bytes:
    """Brings one run to its step, from wherever it stands, on the node that Ray has chosen."""
    return _agon.fulfil(job)
