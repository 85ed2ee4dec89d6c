"""Quafu by its SDK: Baihua and the other chips, their noisy simulators, and the ideal one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from qdllm.devices.backends.base import Limits
from qdllm.devices.batch import CircuitBatch, Counts
from qdllm.devices.calibration import Calibration, Coupler, Qubit
from qdllm.errors import BackendError, ConfigError, CredentialsError, JobUnknownError
from qdllm.extras import require

__all__ = ["QuafuService", "calibration_from_quafu"]

_KEY = "QUAFU_API_KEY"
_SUBMIT_SECONDS = 120.0
_FINAL = ("Finished", "PartiallyFinished", "Failed", "Cancelled")


class QuafuService:
    """Run jobs on Quafu; ``QUAFU_BASE_URL`` names another server.

    A job is sent with a key of our own (``client_ref``): sent twice, it is one job, so nothing need be looked
    up after a lost answer.

    Parameters
    ----------
    target : str
        A chip (``Baihua``), its noisy simulator (``Baihua-sim``), or ``sim``.

    Raises
    ------
    CredentialsError
        If ``QUAFU_API_KEY`` is not set or malformed.
    ConfigError
        If there is no such target.
    BackendError
        If Quafu cannot be reached, or the chip is offline.
    """

    unit = "tasks"

    def __init__(self, target: str) -> None:
        self._quafu = require("quafu", "quafu", "Quafu")
        self.name = f"quafu:{target}"
        self._target = target
        self.is_real = not target.endswith("sim")
        key = os.environ.get(_KEY, "").strip()
        if not key:
            raise CredentialsError(f"{self.name}: {_KEY} is not set; get a key from Quafu's website")
        try:
            with self._translated():
                self._client = _client_class(self._quafu)(api_key=key)
                about = self._client.metadata(target)
                status = self._client.device(target).status if self.is_real else "online"
        except ConnectionError as error:
            raise BackendError(f"{self.name} cannot be reached ({error}); nothing was submitted") from error
        if status != "online":
            raise BackendError(f"{self.name} is {status or 'offline'}: nothing was submitted")
        limits = about.get("limits") or {}
        self.limits = Limits(
            n_qubits=about.get("n_qubits") if target != "sim" else limits.get("max_qubits"),
            step=limits.get("shots_step") or 1,
            most_shots=limits.get("max_shots"),
            most_circuits=limits.get("max_tasks_per_job") or 100,
        )

    def submit(self, batch: CircuitBatch, shots: Sequence[int], tag: str) -> str:
        """Send one job of circuits that are compiled already."""
        circuits = [{"qasm": batch.qasm2(row), "shots": int(shots[row])} for row in range(len(batch))]
        with self._translated(submitting=True):
            job = self._client.submit(circuits, self._target, int(shots[0]), compiler="none", name=tag)
        return str(job.id)

    def find(self, tag: str) -> None:
        """Return None: a job is sent again under its own key, and Quafu knows it by that."""

    def counts(self, job: str, n_wires: int) -> list[Counts] | None:
        """Return the counts of a finished job, None while it waits or runs."""
        with self._translated():
            found = self._client.job(job)
            if found.status() not in _FINAL:
                return None
            results = found.results()
        where = f"{self.name}: job {job}"
        failed = [result for result in results if not result.ok]
        if failed:
            reason = (failed[0].error or {}).get("category") or failed[0].status
            some = "" if len(failed) == len(results) else f", {len(failed)} of {len(results)} circuits"
            raise BackendError(f"{where} failed{some}: {reason}")
        counts = []
        for result in results:
            if result.bit_order != "c0_rightmost":
                raise BackendError(f"{where}: malformed counts: bits are in the order {result.bit_order!r}")
            counts.append(Counts.from_keys(result.counts, n_wires, where))
        return counts

    def cost(self, n_circuits: int, shots: int) -> float:  # noqa: ARG002 - Quafu counts tasks
        """Return the tasks, which Quafu's daily quota counts."""
        return float(n_circuits)

    def calibration(self) -> Calibration | None:
        """Return the chip's present calibration."""
        if self._target == "sim":
            return None
        with self._translated():
            found = self._client.device_calibration(self._target.removesuffix("-sim"))
        return calibration_from_quafu(found.raw)

    def target(self) -> None:
        """Return None: circuits are sent compiled."""

    @contextmanager
    def _translated(self, *, submitting: bool = False) -> Iterator[None]:
        errors = self._quafu.errors
        try:
            yield
        except errors.AuthError as error:
            raise CredentialsError(
                f"{self.name}: {_KEY} was refused ({error}); nothing was submitted"
            ) from error
        except (errors.PrecheckError, errors.BadRequest) as error:
            raise ConfigError(f"{self.name}: {error}") from error
        except (errors.ServerUnavailable, errors.ProtocolError) as error:
            if submitting:
                raise JobUnknownError(f"{self.name}: {error}") from error
            if isinstance(error, errors.ServerUnavailable):
                raise ConnectionError(str(error)) from error
            raise BackendError(f"{self.name}: {error}") from error
        except errors.QuafuError as error:  # quota, offline, lost
            raise BackendError(f"{self.name}: {error}") from error


def calibration_from_quafu(raw: dict[str, Any]) -> Calibration:
    """Read a calibration as Quafu publishes it: times in microseconds, fidelities, readout as measured.

    Raises
    ------
    ConfigError
        If a figure is missing; the message names it and the qubit.
    """
    chip = str(raw.get("chip") or "chip")
    measured = {entry.get("index"): entry for entry in (raw.get("measured") or {}).get("qubits") or []}
    qubits = {}
    for entry in raw.get("qubits") or []:
        number = entry.get("index")
        figures = {
            **entry,
            **{name: value for name, value in measured.get(number, {}).items() if value is not None},
        }
        where = f"{chip}: qubit {number}"
        qubits[number] = Qubit(
            t1_us=_figure(figures, where, "t1_us"),
            t2_us=_figure(figures, where, "t2_us"),
            error=1 - _figure(figures, where, "gate_fidelity", "single_qubit_fidelity", "sq_fidelity"),
            read_1_as_0=min(1 - _figure(figures, where, "readout_fidelity_1"), 0.45),
            read_0_as_1=min(1 - _figure(figures, where, "readout_fidelity_0"), 0.45),
        )
    couplers = tuple(
        Coupler(tuple(entry["qubits"]), float(entry.get("cz_fidelity") or 0.0))
        for entry in raw.get("couplers") or []
    )
    if not qubits or not couplers:
        raise ConfigError(f"{chip}: the calibration has no qubits or no couplers")
    return Calibration(
        chip=chip,
        date=str(raw.get("calibrated_at") or ""),
        source=f"Quafu, {raw.get('source') or 'calibration'} {raw.get('id') or ''}".strip(),
        measured=True,
        one_qubit_ns=float(raw.get("gate_1q_ns") or 64.0),
        two_qubit_ns=float(raw.get("gate_2q_ns") or 224.0),
        qubits=qubits,
        couplers=couplers,
    )


def _figure(figures: dict[str, Any], where: str, *names: str) -> float:
    for name in names:
        if isinstance(figures.get(name), int | float):
            return float(figures[name])
    raise ConfigError(f"{where}: the calibration has no {names[0]}")


def _client_class(quafu: Any) -> Any:
    """Return the SDK's client with the idempotency key that we give, in the place of a random one."""

    class Client(quafu.Client):  # type: ignore[misc]
        def _create_job(self, body: dict[str, Any], name: str, n_expected: int) -> Any:
            body |= {"name": name, "client_ref": str(uuid.uuid5(uuid.NAMESPACE_URL, name))}
            answer = self._request(
                "POST", "/jobs", body=body, endpoint="job", read_timeout=_SUBMIT_SECONDS, retry="none"
            )
            if not answer.get("job_id"):
                raise quafu.errors.ProtocolError("the answer has no job_id")
            return quafu.Job(self, answer["job_id"], n_tasks=n_expected, target=body["target"])

    return Client
