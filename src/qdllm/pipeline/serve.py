"""`qdllm serve`: the models of a run over HTTP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from qdllm.errors import ConfigError
from qdllm.pipeline.models import MODELS, available_models, load_model
from qdllm.serve import open_socket, serve

__all__ = ["TOKEN", "serve_run"]

TOKEN = "QDLLM_TOKEN"  # noqa: S105 - the name of the variable
"""The environment variable of the bearer token that clients have to send."""


def serve_run(
    path: str | Path,
    *,
    models: Sequence[str] | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    quiet: bool = False,
) -> None:
    """Load models of a run and serve them until the process is told to stop.

    Parameters
    ----------
    path : path
        A finished run, a saved student or a saved surrogate.
    models : sequence of {"student", "surrogate", "teacher"}, optional
        The first answers where a request names none. By default the student, and the surrogate where
        there is one.
    host : str
        Address to listen at; only this machine reaches the default.
    port : int
        0 takes a free one, which is logged.
    quiet : bool
        Show no progress bars while a teacher is fitted.

    Raises
    ------
    ConfigError
        If the address cannot be had, or there is no such model.
    QdllmError
        Whatever loading a model raises.
    """
    if models is None:
        models = [name for name in available_models(path) if name != "teacher"]
    if unknown := sorted(set(models) - set(MODELS)):
        raise ConfigError(f"no model {unknown[0]!r}; there are {', '.join(MODELS)}")
    if not models:
        raise ConfigError(f"no model to serve; there are {', '.join(MODELS)}")
    listener = open_socket(host, port)
    try:
        loaded = {name: load_model(path, name, quiet=quiet) for name in models}
        serve(loaded, listener, name=Path(path).resolve().name, token=os.environ.get(TOKEN) or None)
    finally:
        listener.close()
