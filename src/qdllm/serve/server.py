"""The server process: a socket, logs as JSON lines, and a stop that lets requests in flight end."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress

from qdllm.errors import ConfigError
from qdllm.extras import require
from qdllm.serve.model import TextModel

__all__ = ["open_socket", "serve"]

_CONNECTIONS = 512  # open at a time; one more gets 503
_LAST_PORT = 65535
_STOPPING = 10  # seconds that requests in flight are given to end


def open_socket(host: str, port: int) -> socket.socket:
    """Bind before anything slow is loaded.

    Raises
    ------
    ConfigError
        If the address cannot be had.
    """
    if not 0 <= port <= _LAST_PORT:
        raise ConfigError(f"port {port}: a port is a number from 0 to {_LAST_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"{host}:{port}: cannot listen there ({reason}); give another --host or --port"
        ) from error
    # Connections inherit it. An answer is written in two parts, and the second would wait up to 40 ms for the
    # client to acknowledge the first; asyncio sets this itself only on sockets that name their protocol.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve(
    models: Mapping[str, TextModel], listener: socket.socket, *, name: str, token: str | None = None
) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight are answered first.

    Parameters
    ----------
    models : mapping of name to TextModel
    listener : socket
        See `open_socket`.
    name : str
        What the page calls the run.
    token : str, optional
        See `create_app`.

    Raises
    ------
    MissingExtraError
        Without the extra ``serve``.
    """
    uvicorn = require("uvicorn", "serve", "serving")
    require("fastapi", "serve", "serving")
    require("prometheus_client", "serve", "serving")
    from qdllm.serve.app import create_app
    from qdllm.serve.watching import JsonLines

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for logger in (logging.getLogger("qdllm"), logging.getLogger("uvicorn")):
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
    config = uvicorn.Config(
        create_app(models, name=name, token=token),
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_STOPPING,
    )
    host, port = listener.getsockname()[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    logging.getLogger("qdllm.serve").info("listening", extra={"told": {"url": f"http://{address}"}})
    # Once stopped, uvicorn raises the signal again: here it has done its work.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
