"""A chip's calibration: what each qubit and coupler does wrong, when and by whom it was found."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import numpy as np

from qdllm.errors import ConfigError
from qdllm.files import read_json, write_json
from qdllm.simulate import NoiseModel

__all__ = ["CALIBRATIONS", "Calibration", "Coupler", "Qubit", "load_calibration"]

CALIBRATIONS = ("baihua",)
"""Calibrations that come with the package."""

_SCHEMA = {"name": "qdllm.calibration", "version": 1}
_LEAST_FIDELITY = 0.25  # that of a gate which leaves nothing of the state


@dataclass(frozen=True)
class Qubit:
    """One qubit.

    Parameters
    ----------
    t1_us, t2_us : float
        Relaxation and dephasing times in microseconds.
    error : float
        Average infidelity of a one-qubit gate.
    read_1_as_0, read_0_as_1 : float
        Probabilities of misreading it.
    """

    t1_us: float
    t2_us: float
    error: float
    read_1_as_0: float
    read_0_as_1: float


@dataclass(frozen=True)
class Coupler:
    """One coupler: its two qubits and the average fidelity of CZ; less than 1/4 where it cannot be used."""

    qubits: tuple[int, int]
    fidelity: float


@dataclass(frozen=True)
class Calibration:
    """A chip on one day.

    Parameters
    ----------
    chip, date, source : str
        Whose figures these are.
    measured : bool
        Whether each figure was measured on that qubit; False for one that is made up from published medians.
    one_qubit_ns, two_qubit_ns : float
        Durations of a one-qubit gate and of CZ.
    qubits : dict of int to Qubit
        By their number on the chip.
    couplers : tuple of Coupler
    """

    chip: str
    date: str
    source: str
    measured: bool
    one_qubit_ns: float
    two_qubit_ns: float
    qubits: Mapping[int, Qubit]
    couplers: tuple[Coupler, ...]

    @property
    def id(self) -> str:
        """A name that changes with any figure."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return f"{self.chip}-{self.date}-{sha256(text.encode()).hexdigest()[:8]}"

    def usable(self) -> dict[tuple[int, int], float]:
        """Return the fidelity of every coupler that can be used, by (lower, higher) qubit."""
        return {
            (min(c.qubits), max(c.qubits)): c.fidelity
            for c in self.couplers
            if c.fidelity >= _LEAST_FIDELITY and set(c.qubits) <= set(self.qubits)
        }

    def noise(self, layout: Sequence[int]) -> NoiseModel:
        """Return the errors of wires that lie on these qubits, one a wire."""
        wires = [self.qubits[q] for q in layout]
        where = {q: w for w, q in enumerate(layout)}
        pairs = {
            (min(where[a], where[b]), max(where[a], where[b])): 1.0 - fidelity
            for (a, b), fidelity in self.usable().items()
            if a in where and b in where
        }
        return NoiseModel(
            one_qubit=tuple(q.error for q in wires),
            two_qubit=pairs,
            t1=tuple(q.t1_us for q in wires),
            t2=tuple(min(q.t2_us, 2 * q.t1_us) for q in wires),
            read_1_as_0=tuple(q.read_1_as_0 for q in wires),
            read_0_as_1=tuple(q.read_0_as_1 for q in wires),
            one_qubit_time=self.one_qubit_ns / 1000,
            two_qubit_time=self.two_qubit_ns / 1000,
        )

    def drifted(self, spread: float, seed: int) -> Calibration:
        """Return a calibration whose errors and rates are each off by a factor exp(N(0, spread²))."""
        rng = np.random.default_rng(seed)

        def scaled(value: float, most: float = math.inf) -> float:
            return min(value * math.exp(spread * rng.standard_normal()), most)

        qubits = {
            number: Qubit(
                t1_us=scaled(q.t1_us),
                t2_us=scaled(q.t2_us),
                error=scaled(q.error, 0.5),
                read_1_as_0=scaled(q.read_1_as_0, 0.45),
                read_0_as_1=scaled(q.read_0_as_1, 0.45),
            )
            for number, q in self.qubits.items()
        }
        couplers = tuple(
            replace(c, fidelity=1 - scaled(1 - c.fidelity, 0.7)) if c.fidelity >= _LEAST_FIDELITY else c
            for c in self.couplers
        )
        return replace(
            self, qubits=qubits, couplers=couplers, measured=False, source=f"{self.source}; drifted"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads."""
        return {
            "schema": _SCHEMA,
            "chip": self.chip,
            "date": self.date,
            "source": self.source,
            "measured": self.measured,
            "one_qubit_ns": self.one_qubit_ns,
            "two_qubit_ns": self.two_qubit_ns,
            "qubits": [{"index": number, **vars(qubit)} for number, qubit in sorted(self.qubits.items())],
            "couplers": [{"qubits": list(c.qubits), "fidelity": c.fidelity} for c in self.couplers],
        }

    def save(self, path: str | Path) -> None:
        """Write JSON, for `load_calibration`."""
        write_json(path, self.to_dict())

    @classmethod
    def from_dict(cls, content: Any, where: str = "calibration") -> Self:
        """Read what `to_dict` wrote.

        Raises
        ------
        ConfigError
            If a field is missing or not a number in its range; the message says which, and of which qubit.
        """
        if not isinstance(content, Mapping) or content.get("schema") != _SCHEMA:
            raise ConfigError(f"{where}: not a calibration (schema {_SCHEMA['name']}, version 1)")
        texts = {name: _text(content, name, where) for name in ("chip", "date", "source")}
        qubits = {}
        for entry in _entries(content, "qubits", where):
            number = int(_number(entry, "index", where, 0, math.inf))
            at = f"{where}: qubit {number}"
            qubits[number] = Qubit(
                t1_us=_number(entry, "t1_us", at, 1e-3, math.inf),
                t2_us=_number(entry, "t2_us", at, 1e-3, math.inf),
                error=_number(entry, "error", at, 0, 0.5),
                read_1_as_0=_number(entry, "read_1_as_0", at, 0, 0.5),
                read_0_as_1=_number(entry, "read_0_as_1", at, 0, 0.5),
            )
        couplers = []
        for entry in _entries(content, "couplers", where):
            pair = entry.get("qubits")
            if not isinstance(pair, list) or len(pair) != 2 or not all(q in [*qubits] for q in pair):
                raise ConfigError(
                    f"{where}: a coupler joins {pair!r}: two qubits of the calibration are needed"
                )
            at = f"{where}: coupler {pair[0]}-{pair[1]}"
            couplers.append(Coupler((pair[0], pair[1]), _number(entry, "fidelity", at, 0, 1)))
        return cls(
            **texts,
            measured=content.get("measured") is True,
            one_qubit_ns=_number(content, "one_qubit_ns", where, 0, math.inf),
            two_qubit_ns=_number(content, "two_qubit_ns", where, 0, math.inf),
            qubits=qubits,
            couplers=tuple(couplers),
        )


def load_calibration(name: str | Path) -> Calibration:
    """Load a calibration by name (`CALIBRATIONS`) or from a JSON file.

    Raises
    ------
    ConfigError
        If there is no such calibration, or a field is missing or wrong.
    """
    if name in CALIBRATIONS:
        text = files("qdllm.devices").joinpath("data", f"{name}.json").read_text(encoding="utf-8")
        return Calibration.from_dict(json.loads(text), str(name))
    if not Path(name).is_file():
        raise ConfigError(
            f"no calibration {str(name)!r}: give a JSON file, or one of {', '.join(CALIBRATIONS)}"
        )
    return Calibration.from_dict(read_json(name), str(name))


def _entries(content: Mapping[str, Any], name: str, where: str) -> list[Mapping[str, Any]]:
    entries = content.get(name)
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ConfigError(f"{where}: {name} is missing or not a list of objects")
    return entries


def _text(content: Mapping[str, Any], name: str, where: str) -> str:
    value = content.get(name)
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {name} is missing or not text")
    return value


def _number(content: Mapping[str, Any], name: str, where: str, low: float, high: float) -> float:
    value = content.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        number = float(value)
        if low <= number <= high:
            return number
    raise ConfigError(f"{where}: {name} is {value!r}: a number from {low:g} to {high:g} is needed")
