"""Jobs that survive: what is wanted is on disk before it is sent, its name before it is waited for.

A batch is cut into jobs. Each has a file that goes through these states:

    planned ──► sending ──► sent ──► done
                   └──► unknown  └──► failed

*sending* is written before the request leaves, and *sent*, with the vendor's name for the job, as soon as
it is known. Who finds *sending* after a crash does not know whether the job was accepted: the vendor is
asked for the tag. A job that the vendor has is taken over; one that it has not was never accepted, and is
sent. Where the vendor cannot be asked it becomes *unknown*. One that is unknown or has failed is sent again
only when the user says so.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from qdllm.devices.backends.base import JobService, check_request
from qdllm.devices.batch import CircuitBatch, Counts
from qdllm.devices.calibration import Calibration, load_calibration
from qdllm.errors import BackendError, ConfigError, JobUnknownError
from qdllm.files import read_json, write_json
from qdllm.progress import progress

__all__ = ["JobRunner"]

_Answer = TypeVar("_Answer")

_SCHEMA = {"name": "qdllm.job", "version": 1}
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0  # seconds between two questions
_TRIES = 5  # of a question that fails on the way
_SETTLING = 5.0  # seconds that a request may still be on its way after its connection broke


class JobRunner:
    """Run batches through a vendor's service, with all that happens on disk.

    Parameters
    ----------
    service : JobService
    folder : path
        Where the jobs' files lie; a second runner there goes on where the first stopped.
    request : str, optional
        Names all that is asked for, in however many batches. The calibration that its first job was planned
        with is kept under that name and holds for all of it: laid out by another, circuits would lie on
        other qubits, and be paid again.
    resend : bool
        Send jobs again that failed, or whose fate is unknown, at the risk of paying twice.
    patience : float
        Seconds to wait for a job before giving up for now; it stays with the vendor, and the same call
        goes on.
    sleep : callable
        How to wait, in seconds.
    """

    def __init__(
        self,
        service: JobService,
        folder: str | Path,
        *,
        request: str | None = None,
        resend: bool = False,
        patience: float = 86400.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.service = service
        self.name = service.name
        self.limits = service.limits
        self.is_real = service.is_real
        self.folder = Path(folder)
        self.resend = resend
        self._planned_with = None if request is None else self.folder / f"calibration-{request}.json"
        self.patience = patience
        self._sleep = sleep
        self.jobs: list[str] = []
        self._present: Calibration | None = None

    def calibration(self) -> Calibration | None:
        """Return the calibration that the request was planned with, else the chip's present one, if any."""
        if self._planned_with is None:
            return self._ask(self.service.calibration)
        if self._planned_with.is_file():
            return load_calibration(self._planned_with)
        if self._present is None:  # one that comes meanwhile is not what the layout was chosen by
            self._present = self._ask(self.service.calibration)
        return self._present

    def target(self) -> Any:
        """Return the Qiskit ``Target``, where there is one, else None."""
        return self.service.target()

    def run(self, batch: CircuitBatch, shots: Sequence[int], *, seed: int) -> list[Counts]:
        """Run circuits; return the counts of each. `seed` tells repetitions of a batch apart.

        Raises
        ------
        ConfigError
            If the service does not take such circuits or shots: nothing is sent.
        JobUnknownError
            If a job's fate is unknown and `resend` is not set.
        BackendError
            If the service failed, or is not done within `patience`.
        """
        check_request(self.name, self.limits, batch, shots)
        most = self.limits.most_circuits
        parts = [slice(start, start + most) for start in range(0, len(batch), most)]
        with self._alone():
            jobs = [self._plan(batch.take(part), shots[part], seed, part.start) for part in parts]
            for job in jobs:
                self._send(*job)
            found = []
            with progress(f"waiting for {self.name}", len(jobs), unit="jobs") as advance:
                for path, part, _ in jobs:
                    found += self._collect(path, part)
                    advance(1)
        return found

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep a second process out: it would send what this one is sending."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                yield
        except Timeout as error:
            raise ConfigError(
                f"{self.folder}: another run is at work here; wait for it, or end it"
            ) from error

    def _plan(
        self, batch: CircuitBatch, shots: Sequence[int], seed: int, first: int
    ) -> tuple[Path, CircuitBatch, Sequence[int]]:
        circuits = [batch.qasm2(row) for row in range(len(batch))]
        intent = {
            "backend": self.name,
            "layout": list(batch.layout),
            "shots": [int(number) for number in shots],
            "repetition": seed,
            "first_circuit": first,
            "circuits": circuits,
        }
        identity = sha256(repr(sorted(intent.items())).encode()).hexdigest()[:16]
        path = self.folder / f"{identity}.json"
        if not path.is_file():
            calibration = self.calibration()
            if calibration is not None and self._planned_with is not None:
                write_json(self._planned_with, calibration.to_dict(), durable=True)
            write_json(
                path,
                {
                    "schema": _SCHEMA,
                    **intent,
                    "calibration": None if calibration is None else calibration.id,
                    "tag": _tag(path),
                    "state": "planned",
                    "job": None,
                    "counts": None,
                },
                durable=True,
            )
        return path, batch, shots

    def _send(self, path: Path, batch: CircuitBatch, shots: Sequence[int]) -> None:
        record = read_json(path)
        if record["state"] in ("sending", "unknown"):
            self._clear_up(path, record, resend=self.resend)
        if record["state"] == "failed" and self.resend:
            _note(path, record, state="planned", tag=_tag(path))
        for _ in range(_TRIES):
            if record["state"] != "planned":
                return
            _note(path, record, state="sending")
            try:
                job = self.service.submit(batch, shots, record["tag"])
            except JobUnknownError:
                self._clear_up(path, record, resend=False)
            except Exception:
                _note(path, record, state="planned")  # the service said no: nothing was accepted
                raise
            else:
                _note(path, record, state="sent", job=job)
        if record["state"] == "planned":
            raise BackendError(f"{self.name} cannot be reached; nothing is lost, try again later")

    def _clear_up(self, path: Path, record: dict[str, Any], *, resend: bool) -> None:
        """Find out what became of a job whose answer never came."""
        self._sleep(_SETTLING)
        try:
            job = self._ask(lambda: self.service.find(record["tag"]))
        except JobUnknownError as error:
            if not resend:
                _note(path, record, state="unknown")
                raise JobUnknownError(
                    f"{path}: whether {self.name} accepted this job is unknown ({error}); look for "
                    f"{record['tag']!r} on its website, and give --resend to send it again"
                ) from error
            job = None
        if job is None:
            _note(path, record, state="planned")
        else:
            _note(path, record, state="sent", job=job)

    def _collect(self, path: Path, batch: CircuitBatch) -> list[Counts]:
        record = read_json(path)
        n_wires = len(batch.layout)
        self.jobs.append(record["job"])
        if record["state"] != "done":
            found = self._wait(path, record, batch)
            _note(path, record, state="done", counts=[counts.to_keys(n_wires) for counts in found])
        return [Counts.from_keys(counts, n_wires, str(path)) for counts in record["counts"]]

    def _wait(self, path: Path, record: dict[str, Any], batch: CircuitBatch) -> list[Counts]:
        waited, pause = 0.0, _FIRST_WAIT
        while (found := self._ask(lambda: self._counts(path, record, batch))) is None:
            if waited >= self.patience:
                raise BackendError(
                    f"{self.name}: job {record['job']} is still waiting; the same command asks again later"
                )
            self._sleep(pause)
            waited, pause = waited + pause, min(1.5 * pause, _LONGEST_WAIT)
        return found

    def _counts(self, path: Path, record: dict[str, Any], batch: CircuitBatch) -> list[Counts] | None:
        job = record["job"]
        try:
            found = self.service.counts(job, len(batch.layout))
            if found is not None and len(found) != len(batch):
                raise BackendError(f"{self.name}: job {job} has {len(found)} results of {len(batch)}")
        except BackendError as error:
            _note(path, record, state="failed")
            raise BackendError(f"{error}; give --resend to send it again") from error
        return found

    def _ask(self, question: Callable[[], _Answer]) -> _Answer:
        """Ask what may be asked again, and do so where the connection fails."""
        said: Exception | None = None
        for attempt in range(_TRIES):
            try:
                return question()
            except ConnectionError as error:
                said = error
                self._sleep(_FIRST_WAIT * 2**attempt)
        raise BackendError(f"{self.name} cannot be reached ({said}); try again later") from said


def _note(path: Path, record: dict[str, Any], **changes: Any) -> None:
    record.update(changes)
    write_json(path, record, durable=True)


def _tag(path: Path) -> str:
    """Return a name for a job that no other has, one that is sent again included."""
    return f"qdllm-{path.stem}-{uuid.uuid4().hex[:8]}"
