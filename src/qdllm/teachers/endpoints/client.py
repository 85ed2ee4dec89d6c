"""One server over HTTP: requests with time limits, a pace, and another try after a fault that may pass."""

import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from qdllm.errors import ConfigError, EndpointError
from qdllm.extras import require
from qdllm.teachers.endpoints.budget import Budget, Usage
from qdllm.teachers.endpoints.choices import Position
from qdllm.teachers.endpoints.settings import EndpointSettings

__all__ = ["Answer", "Client", "RefusedError", "check_url"]

_CONNECT_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds between tries, doubling
_LARGEST_ANSWER = 16 * 2**20  # bytes
_PASSING = (408, 409, 425, 429)  # and all from 500: another try may help
_FRAME_TOKENS = 256  # at most what a chat template writes around one request

Message = Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What a model wrote.

    Attributes
    ----------
    text : str
    positions : sequence of Position, or None
        Log-probabilities of its tokens, where they were asked for and given.
    """

    text: str
    positions: Sequence[Position] | None


class RefusedError(ConfigError):
    """The server refuses the request itself: another try would not help."""


class _PassingFault(Exception):  # noqa: N818 - never seen outside
    """Another try may help; after so many seconds, where the server said so.

    `billed` tells that the server may have worked for nothing: the answer was lost on its way.
    """

    def __init__(self, reason: str, *, pause: float | None = None, billed: bool = False) -> None:
        super().__init__(reason)
        self.pause = pause
        self.billed = billed


def check_url(url: str) -> str:
    """Return the base URL, without a slash at its end.

    Raises
    ------
    ConfigError
        If it has no host, or holds a name and password, which would be saved with the labels.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"endpoint {url!r}: needs http(s)://HOST[:PORT]/v1")
    if parts.username or parts.password or parts.query:
        raise ConfigError(
            f"endpoint at {parts.hostname}: leave name, password and query out of its URL; "
            "put the key into the environment variable QDLLM_API_KEY"
        )
    return url.rstrip("/")


class Client:
    """Asks one model of one server; may be used by many threads at once.

    Parameters
    ----------
    url : str
        Where the API begins: ``http://localhost:8000/v1``.
    settings : EndpointSettings
    seed : int
        Of the random part of pauses, which keeps threads from trying again all at once.
    """

    def __init__(self, url: str, settings: EndpointSettings, *, seed: int = 0) -> None:
        self.url = check_url(url)
        self.settings = settings
        self.stopped = Event()
        self._random = random.Random(seed)
        self._pace = _Pace(settings.requests_per_minute, self.stopped)
        self._pool = _open_pool(self.url, settings.concurrency)
        self._key = os.environ.get(settings.key_variable, "")

    def models(self) -> list[str]:
        """Ask for the names of the server's models; none where it does not tell.

        Raises
        ------
        EndpointError
            If the server cannot be reached.
        """
        try:
            found = self._send("GET", "/models", None)
        except _PassingFault as fault:
            raise EndpointError(f"{self.url}: cannot be reached ({fault}); is the server running?") from fault
        except RefusedError:
            return []
        entries = found.get("data")
        return [str(entry.get("id")) for entry in entries] if isinstance(entries, list) else []

    def ask(
        self,
        messages: Sequence[Message],
        options: Mapping[str, Any],
        budget: Budget,
        *,
        need_logprobs: bool = False,
    ) -> Answer:
        """Get one answer, however often that takes within the limits.

        Parameters
        ----------
        messages : sequence of Message
            Of a chat.
        options : mapping
            Of the request besides its messages: model, max_tokens, …
        budget : Budget
            What each try is paid from.
        need_logprobs : bool
            Take an answer without them for a fault that may pass.

        Raises
        ------
        RefusedError
            If the server refuses the request.
        EndpointError
            If every try failed, or `stopped` was set.
        BudgetError
            If the budget does not reach that far.
        """
        body = {"messages": list(messages), **options}
        # no tokenizer writes more tokens than bytes
        bytes_read = sum(len(part.encode()) for message in messages for part in message.values())
        most = Usage(bytes_read + _FRAME_TOKENS, int(options["max_tokens"]))
        for attempt in range(self.settings.retries + 1):
            budget.reserve(most)
            used = Usage()
            try:
                self._pace.wait()
                self._go_on()
                used = most  # until the answer says better: an interruption here may be billed
                answer, used = self._answer(body, most)
                if answer.positions is None and need_logprobs:
                    raise _PassingFault("an answer without logprobs", billed=True)
                return answer
            except _PassingFault as fault:
                used = used if fault.billed else Usage()
                last = fault
            except RefusedError as refusal:
                used = Usage()
                raise self._with_models(refusal, options["model"]) from refusal
            finally:
                budget.settle(most, used)
            self._go_on()
            if attempt < self.settings.retries:
                self._wait_before(attempt, last)
        raise EndpointError(
            f"{self.url}: no answer in {self.settings.retries + 1} tries (the last: {last}); "
            "what was answered is kept: run again to go on"
        )

    def _answer(self, body: Mapping[str, Any], most: Usage) -> tuple[Answer, Usage]:
        found = self._send("POST", "/chat/completions", body)
        try:
            choice = found["choices"][0]
            text = choice["message"]["content"] or ""
            positions = _positions(choice)
            usage = found.get("usage") or {}
            used = Usage(
                int(usage.get("prompt_tokens", most.prompt)),
                int(usage.get("completion_tokens", most.answer)),
            )
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise _PassingFault(f"an answer without {error}", billed=True) from error
        return Answer(str(text), positions), used

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        """Send one request and read its JSON object."""
        urllib3 = _urllib3()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        limit = self.settings.timeout
        try:
            response = self._pool.request(
                method,
                self.url + path,
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, limit), read=limit),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            content = _read(response, time.monotonic() + limit)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise _PassingFault(_reason(error)) from error
        except urllib3.exceptions.HTTPError as error:
            raise _PassingFault(_reason(error), billed=True) from error
        if response.status in _PASSING or response.status >= 500:
            pause = _retry_after(response.headers.get("Retry-After"))
            raise _PassingFault(f"status {response.status}: {self._said(content)}", pause=pause)
        if response.status != 200:
            raise self._refusal(response.status, content)
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise _PassingFault("an answer that is not JSON", billed=True) from error
        if not isinstance(found, dict):
            raise _PassingFault("an answer that is no JSON object", billed=True)
        return found

    def _refusal(self, status: int, content: bytes) -> RefusedError:
        if status in (401, 403):
            state = "is not accepted" if self._key else "is not set"
            advice = f"the key in {self.settings.key_variable} {state}"
        else:
            advice = self._said(content)
        return RefusedError(f"{self.url}: the server refuses (status {status}): {advice}")

    def _with_models(self, refusal: RefusedError, model: str) -> RefusedError:
        """Name the server's models, where it does not have the one that it was asked for."""
        names = self.models()
        if not names or model in names:
            return refusal
        return RefusedError(f"{refusal}; asked for {model!r}, its models are {', '.join(names[:20])}")

    def _said(self, content: bytes) -> str:
        """Return a server's own words in short, without the key, should it repeat that."""
        text = " ".join(content[:2000].decode(errors="replace").split())
        try:
            error = json.loads(content)["error"]
            text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        text = text.replace(self._key, "…") if self._key else text
        return text[:200] or "no reason given"

    def _wait_before(self, attempt: int, fault: _PassingFault) -> None:
        """Pause before another try; every thread, where the server asked for it."""
        if fault.pause is not None:
            self._pace.pause(min(fault.pause, _LONGEST_PAUSE))
        else:
            pause = min(_FIRST_PAUSE * 2**attempt, _LONGEST_PAUSE)
            self.stopped.wait(pause * self._random.uniform(0.5, 1.0))

    def _go_on(self) -> None:
        if self.stopped.is_set():
            raise EndpointError(f"{self.url}: stopped")


class _Pace:
    """When the next request may start."""

    def __init__(self, per_minute: float | None, stopped: Event) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._stopped = stopped
        self._lock = Lock()
        self._next = 0.0

    def wait(self) -> None:
        with self._lock:
            start = max(self._next, time.monotonic())
            self._next = start + self._gap
        self._stopped.wait(max(0.0, start - time.monotonic()))

    def pause(self, seconds: float) -> None:
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


def _urllib3() -> Any:
    return require("urllib3", "endpoint", "asking an endpoint")


def _open_pool(url: str, size: int) -> Any:
    """Open a pool of connections, through the proxy of the environment where there is one."""
    urllib3 = _urllib3()
    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    options = {"maxsize": size, "block": True}
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def _read(response: Any, deadline: float) -> bytes:
    """Read an answer that must be whole by a time, so that a drip of bytes does not hold a thread."""
    content = bytearray()
    while chunk := response.read1(2**16):
        content += chunk
        if time.monotonic() > deadline or len(content) > _LARGEST_ANSWER:
            response.close()
            raise _PassingFault("an answer that does not end", billed=True)
    response.release_conn()
    return bytes(content)


def _positions(choice: Mapping[str, Any]) -> list[Position] | None:
    """Read the log-probabilities of an answer; None where the server left them out."""
    logprobs = choice.get("logprobs") or {}
    if not logprobs.get("content") and choice["message"]["content"]:
        return None
    return [
        (_token(entry), {_token(one): float(one["logprob"]) for one in (*entry["top_logprobs"], entry)})
        for entry in logprobs.get("content") or ()
    ]


def _token(entry: Mapping[str, Any]) -> bytes:
    return bytes(entry["bytes"]) if entry.get("bytes") else str(entry["token"]).encode()


def _retry_after(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:  # a date: the usual pause will do
        return None


def _reason(error: Exception) -> str:
    """Say an error of the connection in a few words."""
    name = type(error).__name__
    known = {
        "NewConnectionError": "no connection",
        "ConnectTimeoutError": "no connection in time",
        "ReadTimeoutError": "no answer in time",
        "NameResolutionError": "no such host",
    }
    return known.get(name, f"the connection broke: {name}")
