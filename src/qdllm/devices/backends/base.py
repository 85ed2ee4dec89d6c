"""What every backend does: take a batch of circuits, give back counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from qdllm.devices.batch import CircuitBatch, Counts
from qdllm.errors import ConfigError

if TYPE_CHECKING:
    from qdllm.devices.calibration import Calibration

__all__ = ["Backend", "JobService", "Limits", "check_request"]


@dataclass(frozen=True)
class Limits:
    """What a backend accepts.

    Parameters
    ----------
    n_qubits : int, optional
        Its qubits; None where any number that fits into memory will do.
    step : int
        Shots of a circuit must be a multiple of this.
    most_shots : int, optional
        Shots of a circuit, at most.
    uniform : bool
        Whether all circuits of a batch must have the same shots.
    most_circuits : int
        Circuits of a job, at most.
    """

    n_qubits: int | None = None
    step: int = 1
    most_shots: int | None = None
    uniform: bool = False
    most_circuits: int = 1_000_000


class Backend(Protocol):
    """A simulator or a chip."""

    name: str
    is_real: bool
    """Whether shots are run on a chip, and may cost something."""
    limits: Limits

    def run(self, batch: CircuitBatch, shots: Sequence[int], *, seed: int) -> list[Counts]:
        """Run circuits; return the counts of each, key bit w being wire w."""
        ...

    def calibration(self) -> Calibration | None:
        """Return the chip's present calibration, where it has one."""
        ...

    def target(self) -> Any:
        """Return the Qiskit ``Target``, where there is one, else None."""
        ...


class JobService(Protocol):
    """A vendor's service that runs jobs: what `qdllm.devices.jobs` needs to know of it."""

    name: str
    is_real: bool
    limits: Limits
    unit: str
    """What the vendor counts: ``"shots"``, ``"circuits"``, …"""

    def submit(self, batch: CircuitBatch, shots: Sequence[int], tag: str) -> str:
        """Send one job under a tag of our own; return the vendor's name for it.

        Raises
        ------
        BackendError, CredentialsError
            If the service refused it: then it was not accepted.
        JobUnknownError
            If the answer never came.
        """
        ...

    def find(self, tag: str) -> str | None:
        """Return the vendor's name of the job with our tag, None if the service has none.

        Raises
        ------
        JobUnknownError
            If the service cannot be asked that.
        """
        ...

    def counts(self, job: str, n_wires: int) -> list[Counts] | None:
        """Return the counts of a finished job, None while it waits or runs.

        Raises
        ------
        BackendError
            If the job failed, is lost, or its counts are malformed.
        """
        ...

    def cost(self, n_circuits: int, shots: int) -> float:
        """Return what so many circuits, and shots of all together, come to in `unit`."""
        ...

    def calibration(self) -> Calibration | None:
        """Return the chip's present calibration, where it has one."""
        ...

    def target(self) -> Any:
        """Return the Qiskit ``Target``, where there is one, else None."""
        ...


def check_request(name: str, limits: Limits, batch: CircuitBatch, shots: Sequence[int]) -> None:
    """Refuse what a backend would refuse, before anything is sent.

    Raises
    ------
    ConfigError
        If there are too many qubits, or a number of shots is not allowed.
    """
    if limits.n_qubits is not None and max(batch.layout) >= limits.n_qubits:
        raise ConfigError(f"{name} has {limits.n_qubits} qubits, the circuits need qubit {max(batch.layout)}")
    for number in set(shots):
        if (
            number < 1
            or number % limits.step
            or (limits.most_shots is not None and number > limits.most_shots)
        ):
            most = "" if limits.most_shots is None else f" up to {limits.most_shots}"
            raise ConfigError(f"{name} runs multiples of {limits.step} shots{most}, not {number}")
