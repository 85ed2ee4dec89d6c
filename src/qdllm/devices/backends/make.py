"""Backends by name."""

from __future__ import annotations

from pathlib import Path

from qdllm.devices.backends.base import Backend, JobService
from qdllm.devices.calibration import load_calibration
from qdllm.errors import ConfigError
from qdllm.extras import require

__all__ = ["make_backend"]

_KNOWN = (
    "statevector, noisy:CALIBRATION, aer:CALIBRATION, fake:NAME, braket:local, ibm:NAME, quafu:NAME, "
    "quafu-http:NAME"
)


def make_backend(name: str, jobs: Path, *, request: str | None = None, resend: bool = False) -> Backend:
    """Return the backend of that name.

    Parameters
    ----------
    name : str
        ``statevector``; ``noisy:baihua`` or ``noisy:FILE.json``, a calibrated chip's errors in our simulator;
        ``aer:ideal``, ``aer:baihua`` or ``aer:FILE.json``, Aer; ``fake:torino``, IBM's fake backends;
        ``braket:local``, Braket's simulator; ``ibm:NAME``, ``quafu:NAME`` and ``quafu-http:NAME``, services.
    jobs : path
        Where a service's jobs are written down.
    request : str, optional
        See `qdllm.devices.JobRunner`.
    resend : bool
        Send jobs again whose fate is unknown, or that failed.

    Raises
    ------
    ConfigError
        If the name, or what follows it, is unknown.
    CredentialsError
        If a key is missing or refused.
    BackendError
        If a service is offline.
    MissingExtraError
        If a package is not installed.
    """
    kind, _, rest = name.partition(":")
    if name == "statevector":
        from qdllm.devices.backends.simulators import SimulatorBackend

        return SimulatorBackend(name, None)
    if not rest or kind not in ("noisy", "aer", "fake", "braket", "ibm", "quafu", "quafu-http"):
        raise ConfigError(f"unknown backend {name!r}: use one of {_KNOWN}")
    if kind == "noisy":
        from qdllm.devices.backends.simulators import SimulatorBackend

        return SimulatorBackend(name, load_calibration(rest))
    if kind == "aer":
        from qdllm.devices.backends.aer_backend import AerBackend

        return AerBackend(name, None if rest == "ideal" else load_calibration(rest))
    if kind == "fake":
        from qdllm.devices.backends.qiskit_backend import fake_backend

        return fake_backend(rest)
    if kind == "braket":
        return _braket(name)
    from qdllm.devices.jobs import JobRunner

    return JobRunner(_service(kind, rest), jobs, request=request, resend=resend)


def _braket(name: str) -> Backend:
    from qdllm.devices.backends.qiskit_backend import QiskitBackend

    if name != "braket:local":
        raise ConfigError(f"unknown backend {name!r}: of Braket only its local simulator, braket:local")
    provider = require("qiskit_braket_provider", "braket", "Braket")
    return QiskitBackend(name, provider.BraketLocalBackend())


def _service(kind: str, rest: str) -> JobService:
    if kind == "ibm":
        from qdllm.devices.backends.ibm_backend import IbmService, connect

        return IbmService(rest, connect())
    if kind == "quafu":
        from qdllm.devices.backends.quafu_backend import QuafuService

        return QuafuService(rest)
    from qdllm.devices.backends.quafu_http import QuafuHttpService

    return QuafuHttpService(rest)
