"""What is searched: every field of a student's design with the values that it may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from qdllm.circuits import ANSATZE, ENCODINGS, READOUTS
from qdllm.student import Student

if TYPE_CHECKING:
    from optuna import Trial

__all__ = [
    "PAPER",
    "SPACE",
    "Choice",
    "Design",
    "Range",
    "describe_space",
    "draw",
    "first_design",
    "open_fields",
]

Design = Mapping[str, Any]
"""Parameters of a `qdllm.Student`; those that are not named have their default."""

# 2^n - 1 strings are read: more than 255 numbers a class are no longer a small readout.
_MOST_STRINGS = 8

_OF_A_TEACHER = ("alpha", "temperature")


@dataclass(frozen=True)
class Choice:
    """One of several names."""

    values: tuple[str, ...]

    def suggest(self, trial: Trial, name: str) -> str:
        """Draw one."""
        return str(trial.suggest_categorical(name, self.values))


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included.

    Whole where both ends are ints, else of three digits; in steps of `step` where that is set; on a
    logarithmic scale if `log`.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def suggest(self, trial: Trial, name: str) -> float:
        """Draw one."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high)
        return float(f"{trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log):.3g}")


SPACE: Mapping[str, Choice | Range] = {
    "ansatz": Choice(tuple(sorted(ANSATZE))),
    "encoding": Choice(tuple(sorted(ENCODINGS))),
    "readout": Choice(READOUTS),
    "n_qubits": Range(2, 12),
    "n_layers": Range(1, 4),
    "learning_rate": Range(1e-3, 3e-2, log=True),
    "weight_decay": Range(0.03, 10.0, log=True),
    "dropout": Range(0.0, 0.6, step=0.1),
    "alpha": Range(0.0, 1.0, step=0.1),
    "temperature": Range(1.0, 8.0, log=True),
}
"""Every field that a search may choose, in the order in which they are drawn."""

PAPER: Design = {"ansatz": "qd_llm", "encoding": "minmax", "readout": "z", "n_qubits": 11, "n_layers": 2}
"""The fixed design of QD-LLM (arXiv 2505.13205); how it is trained is left as it is by default here."""


def first_design(fixed: Design) -> dict[str, Any]:
    """Return the design that a search starts from: the student's defaults in all that may be chosen.

    Parameters
    ----------
    fixed : mapping
        What stays as it is.
    """
    defaults = Student().get_params()
    design = {**{name: defaults[name] for name in SPACE}, **fixed}
    if "n_qubits" not in fixed and design["readout"] == "strings":
        design["n_qubits"] = _MOST_STRINGS
    return design


def open_fields(fixed: Design, *, taught: bool) -> dict[str, Choice | Range]:
    """Return what is left of `SPACE` to choose.

    Parameters
    ----------
    fixed : mapping
        What stays as it is.
    taught : bool
        Whether there is a teacher; without one, its weight and temperature mean nothing.
    """
    left = {name: domain for name, domain in SPACE.items() if name not in fixed}
    return left if taught else {name: domain for name, domain in left.items() if name not in _OF_A_TEACHER}


def draw(trial: Trial, fixed: Design, fields: Mapping[str, Choice | Range]) -> dict[str, Any]:
    """Draw a design.

    Parameters
    ----------
    trial : optuna.Trial
    fixed : mapping
        What stays as it is.
    fields : mapping
        What to draw, as `open_fields` returns it.
    """
    design = dict(fixed)
    for name, domain in fields.items():
        design[name] = _narrowed(domain, name, design).suggest(trial, name)
    return design


def describe_space(fields: Mapping[str, Choice | Range]) -> dict[str, dict[str, Any]]:
    """Return fields as JSON values."""
    return {
        name: {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(domain).items()
        }
        for name, domain in fields.items()
    }


def _narrowed(domain: Choice | Range, name: str, design: Design) -> Choice | Range:
    """Keep readouts of every product of Zs to few qubits."""
    if isinstance(domain, Range) and name == "n_qubits" and design.get("readout") == "strings":
        return replace(domain, high=_MOST_STRINGS)
    if isinstance(domain, Choice) and name == "readout" and design.get("n_qubits", 0) > _MOST_STRINGS:
        return Choice(tuple(value for value in domain.values if value != "strings"))
    return domain
