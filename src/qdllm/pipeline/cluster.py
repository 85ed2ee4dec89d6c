"""Work shared out to a Ray cluster: blocks of a corpus, and fits of a comparison.

Blocks go through a Ray Data pipeline whose actors hold the model. Actors read and write blocks themselves, so
only their numbers and row counts travel. Ray holds blocks back until an actor is free, and gives those of a
lost machine to another; a block that is already there is not computed again. Fits are Ray's tasks; each is
stored where it is made, in the run's folder, which all machines must see.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from qdllm import errors
from qdllm.compare import Workers, one_thread
from qdllm.data import Piece, cache_dir
from qdllm.errors import QdllmError, WorkError
from qdllm.extras import require

if TYPE_CHECKING:
    from qdllm.pipeline.blocks import Worker

__all__ = ["ClusterWorkers", "share_out"]

_T = TypeVar("_T")
_R = TypeVar("_R")
_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 10.0
_RETRIES = 5  # of a task whose machine is lost
_MOST_TASKS = 10_000  # of Ray's own blocks; each may hold many of ours


def share_out(worker: Worker, pieces: Sequence[Piece], address: str) -> Iterator[int]:
    """Let actors work on blocks; yield the rows of each as it is done.

    Parameters
    ----------
    worker : Worker
        Is copied to each actor.
    pieces : sequence of Piece
    address : str
        "auto" for the cluster that this machine belongs to, "local" for a new one here, or HOST:PORT.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    WorkError
        If the cluster cannot be reached or fails.
    QdllmError
        What an actor raised on purpose, when all other blocks are done.
    """
    data = require("ray.data", "ray", "sharing out to a cluster")
    if not pieces:
        return
    with _connected(address) as ray:
        data.DataContext.get_current().enable_progress_bars = False
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        rows = [{"piece": replace(piece, path=piece.path.resolve())} for piece in pieces]
        counts = data.from_items(rows, override_num_blocks=min(len(rows), _MOST_TASKS)).map_batches(
            _Actor,
            fn_constructor_args=(worker, Path.cwd()),
            batch_size=1,
            num_cpus=1,
            concurrency=(1, cores, cores),  # all at once; fewer where machines are lost
        )
        refused: list[QdllmError] = []
        for row in counts.iter_rows():
            if row["kind"]:
                refused.append(_as_error(row["kind"], row["refused"]))
                _log.warning("%s; the other blocks go on", row["refused"])
            else:
                yield int(row["rows"])
        if refused:
            raise refused[0]


class ClusterWorkers(Workers):
    """Runs a function item by item as Ray's tasks, one core each, wherever there is one.

    A task whose machine is lost runs again elsewhere.

    Parameters
    ----------
    address : str
        As for `share_out`.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    WorkError
        If the cluster cannot be reached or fails.
    """

    def __init__(self, address: str) -> None:
        super().__init__(1)
        self._connection = _connected(address)

    def __enter__(self) -> Self:
        self._ray = self._connection.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.__exit__(kind, error, trace)

    def map(self, function: Callable[[_T], _R], items: Sequence[_T]) -> Iterator[tuple[_T, _R]]:
        """Yield each item with its result, as they are finished.

        Raises
        ------
        QdllmError
            What the function raised on purpose.
        """
        task = self._ray.remote(num_cpus=1, max_retries=_RETRIES)(_run)
        shared = self._ray.put(function)
        waiting = {task.remote(shared, item, Path.cwd()): item for item in items}
        while waiting:
            (done,), _ = self._ray.wait(list(waiting), num_returns=1)
            result, kind, refused = self._ray.get(done)
            if kind:
                raise _as_error(kind, refused)
            yield waiting.pop(done), result


def _run(function: Callable[[Any], Any], item: Any, folder: Path) -> tuple[Any, str, str]:
    """Call the function; an error raised on purpose is data: Ray would lose its kind."""
    _enter(folder)
    try:
        with one_thread():
            return function(item), "", ""
    except QdllmError as error:
        return None, type(error).__name__, str(error)


def _as_error(kind: str, reason: str) -> QdllmError:
    found: QdllmError = getattr(errors, kind, WorkError)(reason)
    return found


def _enter(folder: Path) -> None:
    """Go to where the command was given: paths may be relative to it."""
    if folder.is_dir():
        os.chdir(folder)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Give Ray, connected to a cluster; what goes wrong with it is one line."""
    ray = require("ray", "ray", "sharing out to a cluster")
    began = not ray.is_initialized()
    if began:
        _connect(ray, address)
    try:
        yield ray
    except ray.exceptions.RayError as error:
        raise WorkError(
            f"Ray at {address}: {str(error).strip().splitlines()[-1]}; "
            "the same command goes on from what is done"
        ) from error
    finally:
        if began:
            ray.shutdown()


class _Actor:
    """A worker on some machine of the cluster."""

    def __init__(self, worker: Worker, folder: Path) -> None:
        _enter(folder)
        self._worker = worker

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Work on a batch of one piece; an error raised on purpose is data: Ray would lose its kind."""
        (piece,) = batch["piece"]
        rows, kind, refused = 0, "", ""
        try:
            rows = self._worker.read(piece)
        except QdllmError as error:
            kind, refused = type(error).__name__, str(error)
        return {"rows": np.array([rows]), "kind": [kind], "refused": [refused]}


def _connect(ray: Any, address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        if port.isdigit():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"QDLLM_CACHE": str(cache_dir())}},
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WorkError(f"Ray at {address}: cannot be reached ({reason})") from error
