"""IBM Quantum by Qiskit Runtime's executor-based sampler."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from qdllm.devices.backends.base import Limits
from qdllm.devices.backends.qiskit_backend import calibration_from_target, transpiled
from qdllm.devices.batch import CircuitBatch, Counts
from qdllm.devices.calibration import Calibration
from qdllm.errors import BackendError, ConfigError, CredentialsError, JobUnknownError
from qdllm.extras import require

__all__ = ["IbmService", "connect"]

_KEY, _INSTANCE = "QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE"
_SECONDS_A_SHOT = 250e-6  # the default repetition delay, which dominates


class IbmService:
    """Run jobs on a chip of IBM's.

    Parameters
    ----------
    name : str
        The chip, such as ``ibm_torino``.
    service : qiskit_ibm_runtime.QiskitRuntimeService
        See `connect`.

    Raises
    ------
    ConfigError
        If there is no such chip.
    BackendError
        If the chip is offline.
    """

    unit = "seconds of quantum time"

    def __init__(self, name: str, service: Any) -> None:
        sampler = require("qiskit_ibm_runtime.executor_sampler", "ibm", "IBM Quantum")
        self._sampler = sampler.Sampler
        self.name = f"ibm:{name}"
        self._service = service
        try:
            self._backend = service.backend(name)
        except Exception as error:
            raise ConfigError(f"{self.name}: {_first_line(error)}") from error
        self.is_real = not self._backend.configuration().simulator
        if not self._backend.status().operational:
            raise BackendError(f"{self.name} is offline: nothing was submitted")
        self.limits = Limits(
            n_qubits=self._backend.num_qubits,
            most_shots=getattr(self._backend.configuration(), "max_shots", None),
            uniform=True,
            most_circuits=1000,
        )

    def submit(self, batch: CircuitBatch, shots: Sequence[int], tag: str) -> str:
        """Send one job, our tag among its tags."""
        circuits = transpiled(batch, self._backend, seed=0)
        sampler = self._sampler(mode=self._backend)
        sampler.options.environment.job_tags = [tag]
        try:
            return str(sampler.run(circuits, shots=int(shots[0])).job_id())
        except Exception as error:
            if _is_refusal(error):
                raise BackendError(f"{self.name} refused: {_first_line(error)}") from error
            raise JobUnknownError(f"{self.name}: {_first_line(error)}") from error

    def find(self, tag: str) -> str | None:
        """Look for our tag among the account's jobs."""
        try:
            jobs = self._service.jobs(job_tags=[tag], limit=1)
        except Exception as error:
            raise ConnectionError(_first_line(error)) from error
        return str(jobs[0].job_id()) if jobs else None

    def counts(self, job: str, n_wires: int) -> list[Counts] | None:
        """Return the counts of a finished job, None while it waits or runs."""
        try:
            found = self._service.job(job)
            status = str(getattr(found.status(), "name", found.status()))
        except Exception as error:
            if "not found" in str(error).lower():
                raise BackendError(f"{self.name}: job {job} is lost") from error
            raise ConnectionError(_first_line(error)) from error
        if status in ("ERROR", "CANCELLED"):
            raise BackendError(f"{self.name}: job {job} ended as {status}")
        if status != "DONE":
            return None
        try:
            results = found.result()
        except Exception as error:
            raise ConnectionError(_first_line(error)) from error
        where = f"{self.name}: job {job}"
        return [Counts.from_keys(result.data.c.get_counts(), n_wires, where) for result in results]

    def cost(self, n_circuits: int, shots: int) -> float:  # noqa: ARG002 - circuits of a batch share the shots
        """Return the seconds that the chip is used, about."""
        return round(shots * _SECONDS_A_SHOT, 1)

    def calibration(self) -> Calibration | None:
        """Return the calibration of the chip's target."""
        return calibration_from_target(self._backend.target, self._backend.name)

    def target(self) -> Any:
        """Return the Qiskit ``Target``."""
        return self._backend.target


def connect() -> Any:
    """Log in with the key of the environment variable ``QISKIT_IBM_TOKEN``.

    Raises
    ------
    CredentialsError
        If the key is not set or refused.
    MissingExtraError
        If ``qiskit-ibm-runtime`` is not installed.
    """
    runtime = require("qiskit_ibm_runtime", "ibm", "IBM Quantum")
    key = os.environ.get(_KEY, "").strip()
    if not key:
        raise CredentialsError(f"ibm: {_KEY} is not set; get a key from IBM Quantum Platform")
    try:
        return runtime.QiskitRuntimeService(
            channel="ibm_quantum_platform", token=key, instance=os.environ.get(_INSTANCE)
        )
    except Exception as error:
        # An error of the client may quote the request: its first line alone is shown, without the key.
        said = _first_line(error).replace(key, "…")
        raise CredentialsError(f"ibm: {_KEY} was refused or IBM cannot be reached ({said})") from None


def _is_refusal(error: Exception) -> bool:
    """Return whether the service answered that it would not take the job.

    The client raises an error of its own from that of the request, which holds the status.
    """
    if type(error).__name__ == "IBMInputValueError":
        return True
    cause: BaseException | None = error
    while cause is not None:
        for holder in (cause, getattr(cause, "response", None)):
            if 400 <= (getattr(holder, "status_code", None) or 0) < 500:
                return True
        cause = cause.__cause__ or cause.__context__
    return False


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
