"""Quafu's older HTTP service, spoken to without its SDK: one circuit a job, and no list of jobs."""

from __future__ import annotations

import ast
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from qdllm.devices.backends.base import Limits
from qdllm.devices.batch import CircuitBatch, Counts
from qdllm.errors import BackendError, ConfigError, CredentialsError, JobUnknownError

__all__ = ["QuafuHttpService"]

_KEY, _URL = "QUAFU_API_TOKEN", "QUAFU_HTTP_URL"
_DEFAULT_URL = "https://quafu.baqis.ac.cn/"
_SECONDS = 60.0
_REFUSED = (201, 205)  # codes of a token that is wrong or used up
_FAILED: dict[Any, str] = {3: "was cancelled", 4: "failed"}
_COMPLETED = 2


class QuafuHttpService:
    """Run jobs on the older service; ``QUAFU_HTTP_URL`` names another server.

    Parameters
    ----------
    target : str
        The system's name, such as ``ScQ-P136``.

    Raises
    ------
    CredentialsError
        If ``QUAFU_API_TOKEN`` is not set or refused.
    ConfigError
        If there is no such system.
    BackendError
        If the service cannot be reached, or the chip is offline.
    """

    unit = "tasks"
    is_real = True

    def __init__(self, target: str) -> None:
        self.name = f"quafu-http:{target}"
        self._key = os.environ.get(_KEY, "").strip()
        if not self._key:
            raise CredentialsError(f"{self.name}: {_KEY} is not set")
        if not (self._key.isascii() and self._key.isprintable()):
            raise CredentialsError(f"{self.name}: {_KEY} holds characters that no key has")
        url = os.environ.get(_URL, _DEFAULT_URL)
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ConfigError(f"{_URL} is {url!r}: an address that begins with http:// or https:// is needed")
        self._url = url.rstrip("/") + "/qbackend/"
        try:
            answer = self._post("get_backends/", {})
        except ConnectionError as error:
            raise BackendError(f"{self.name} cannot be reached ({error}); nothing was submitted") from error
        try:
            found = {
                system["system_name"]: (system["system_id"], system["status"], system["qubits"])
                for system in answer["data"]
            }
        except (KeyError, TypeError) as error:
            raise BackendError(f"{self.name} answered {answer!r:.80}; nothing was submitted") from error
        if target not in found:
            raise ConfigError(f"{self.name}: there is no {target!r}, but {', '.join(sorted(found))}")
        self._system, status, n_qubits = found[target]
        if str(status).lower() not in ("online", "none service"):
            raise BackendError(f"{self.name} is {status}: nothing was submitted")
        self.limits = Limits(n_qubits=n_qubits, most_circuits=1)

    def submit(self, batch: CircuitBatch, shots: Sequence[int], tag: str) -> str:
        """Send one circuit, for the service to place and compile."""
        form = {
            "qtasm": batch.qasm2(0),
            "shots": int(shots[0]),
            "qubits": max(batch.layout) + 1,
            "scan": 0,
            "tomo": 0,
            "selected_server": self._system,
            "compile": 1,
            "priority": 2,
            "task_name": tag,
        }
        try:
            return str(self._post("scq_kit_asyc/", form)["task_id"])
        except (ConnectionError, KeyError) as error:
            raise JobUnknownError(f"{self.name}: {error}") from error

    def find(self, tag: str) -> str | None:
        """Refuse: the older service lists no jobs."""
        raise JobUnknownError(f"{self.name} has no list of jobs in which to look for {tag}")

    def counts(self, job: str, n_wires: int) -> list[Counts] | None:
        """Return the counts of a finished job, None while it waits or runs."""
        answer = self._post("scq_task_recall/", {"task_id": job})
        status = answer.get("status")
        where = f"{self.name}: job {job}"
        if status in _FAILED or "res" not in answer:
            raise BackendError(f"{where} {_FAILED.get(status, 'is lost')}")
        if status != _COMPLETED:
            return None
        found = _parse(answer["res"], where)
        if not isinstance(found, dict):
            raise BackendError(f"{where}: malformed counts: {found!r:.80}")
        # This service writes bit 0 first.
        return [Counts.from_keys({str(key)[::-1]: n for key, n in found.items()}, n_wires, where)]

    def cost(self, n_circuits: int, shots: int) -> float:  # noqa: ARG002 - the service counts tasks
        """Return the tasks."""
        return float(n_circuits)

    def calibration(self) -> None:
        """Return None: the service places and compiles circuits itself."""

    def target(self) -> None:
        """Return None: the service places and compiles circuits itself."""

    def _post(self, path: str, form: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the scheme is that of a constant or of the user
            self._url + path,
            data=urllib.parse.urlencode(form).encode(),
            headers={"api_token": self._key},
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
                answer = json.loads(response.read())
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise CredentialsError(f"{self.name}: {_KEY} was refused; nothing was submitted") from error
            if error.code < 500:
                raise BackendError(f"{self.name} refused (HTTP {error.code})") from error
            raise ConnectionError(f"HTTP {error.code}") from error
        except (OSError, ValueError) as error:
            raise ConnectionError(str(error) or type(error).__name__) from error
        except Exception as error:
            if type(error).__module__ != "http.client":
                raise
            raise ConnectionError(str(error) or type(error).__name__) from error
        return self._check(answer)

    def _check(self, answer: Any) -> dict[str, Any]:
        if not isinstance(answer, dict):
            raise BackendError(f"{self.name} answered {answer!r:.80}")
        code = answer.get("status", answer.get("code"))
        said = answer.get("message", answer.get("msg", "no reason given"))
        if code in _REFUSED:
            raise CredentialsError(f"{self.name}: {_KEY} was refused ({said}); nothing was submitted")
        if code == 400 or (isinstance(code, int) and code >= 5000):
            raise BackendError(f"{self.name} refused: {said}")
        return answer


def _parse(text: Any, where: str) -> Any:
    """Read counts that are written as JSON or as a Python literal."""
    if not isinstance(text, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise BackendError(f"{where}: malformed counts: {text!r:.80}") from error
