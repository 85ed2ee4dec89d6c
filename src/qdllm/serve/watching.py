"""What is seen of every request: its size is limited, it is counted, timed and logged. Never its texts."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

__all__ = ["JsonLines", "LimitBody", "Metrics", "Watch"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("qdllm.serve")
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """Counts and times in the form that Prometheus reads."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        common: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("qdllm_requests", "Requests answered.", ["path", "status"], **common)
        self.texts = Counter("qdllm_texts", "Texts answered.", ["model"], **common)
        self.seconds = Histogram(
            "qdllm_answer_seconds", "From request to answer.", ["model"], buckets=_SECONDS, **common
        )
        self.waiting = Gauge("qdllm_waiting_requests", "Requests that wait.", ["model"], **common)


class Watch:
    """Counts and logs every request.

    Parameters
    ----------
    app : ASGI application
    metrics : Metrics
    paths : collection of str
        Known paths; all others count as one.
    """

    def __init__(self, app: App, metrics: Metrics, paths: frozenset[str]) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, name = time.perf_counter(), 500, uuid.uuid4().hex

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", name.encode())]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.requests.labels(path, str(status)).inc()
            milliseconds = round(1000 * (time.perf_counter() - started), 2)
            told = {"request": name, "method": scope["method"], "path": path, "status": status}
            _log.info("request", extra={"told": {**told, "ms": milliseconds}})


class LimitBody:
    """Refuses a request whose body is too large, before it is read to the end, or too slow.

    Parameters
    ----------
    app : ASGI application
    n_bytes : int
    seconds : float
    """

    def __init__(self, app: App, n_bytes: int, seconds: float) -> None:
        self.app, self.n_bytes, self.seconds = app, n_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 413 or 408."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        too_large = length.isdigit() and int(length) > self.n_bytes
        try:
            body = None if too_large else await asyncio.wait_for(self._read(receive), self.seconds)
        except TimeoutError:
            await _refuse(send, 408, f"the request did not arrive within {self.seconds:g} seconds")
            return
        if body is None:
            await _refuse(send, 413, f"the request is larger than {self.n_bytes} bytes")
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """Read the body; None where it is too large."""
        parts, total, more = [], 0, True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            total += len(parts[-1])
            if total > self.n_bytes:
                return None
            more = message.get("more_body", False)
        return b"".join(parts)


async def _refuse(send: Send, status: int, detail: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": detail}).encode()})


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, what happened, and what a request tells of itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        told: Mapping[str, Any] = getattr(record, "told", {})
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **told,
        }
        if record.exc_info and record.exc_info[0]:  # without its message, which may hold a text
            line["error"] = record.exc_info[0].__name__
            line["where"] = [
                f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line, ensure_ascii=False)
