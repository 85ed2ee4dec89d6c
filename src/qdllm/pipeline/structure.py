"""`qdllm inspect --formula`: how classical a trained student is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qdllm.errors import ConfigError, TooLargeError
from qdllm.extras import require
from qdllm.files import atomic_path
from qdllm.pipeline.run_folder import student_folder
from qdllm.simulate import StatevectorSimulator
from qdllm.student import Student
from qdllm.surrogate import expand_student
from qdllm.surrogate.structure import describe_polynomial

__all__ = ["describe_structure", "inspect_formula", "save_plots"]

_MAX_ERROR = 1e-3  # of what is looked at: smaller terms say little
_SAMPLES = 64  # angles that entanglement is a mean over
_SHOWN = 8
_COLOR = "#1f5fa8"


def inspect_formula(target: str | Path) -> dict[str, Any]:
    """Write the logits of a run's student as a polynomial, and describe it.

    Returns
    -------
    dict
        What `qdllm.surrogate.structure.describe_polynomial` returns; ``classes``; ``dropped``, a bound on
        what was cut off before; ``strings``, the most Pauli strings there were at once; and ``entanglement``
        of each qubit just before it is measured, 0 to 1 (1 − |r|² of its Bloch vector, whose mean over qubits
        is the measure of Meyer and Wallach, J. Math. Phys. 43 (2002) 4273), mean over 64 uniform angles; None
        where the qubits together are too many to simulate.

    Raises
    ------
    ConfigError
        If the target is no run and no saved student.
    CircuitError, TooLargeError
        If the circuit is too wide for a polynomial.
    """
    if not Path(target).exists():
        raise ConfigError(f"{target}: --formula and --plots look at a trained student: give a run's folder")
    student = Student.from_pretrained(student_folder(target))
    expansion = expand_student(student, max_error=_MAX_ERROR)
    return {
        **describe_polynomial(expansion.polynomial),
        "classes": [str(name) for name in student.classes_],
        "dropped": float(expansion.dropped.max()),
        "strings": expansion.n_strings,
        "entanglement": _entanglement(student),
    }


def describe_structure(found: Mapping[str, Any]) -> str:
    """Write what `inspect_formula` found as text."""
    orders = ", ".join(f"{i}: {100 * share:.1f} %" for i, share in enumerate(found["orders"], start=1))
    spectrum = found["spectrum"]
    above = ", ".join(
        f"{sum(size > limit for size in spectrum):,} above {limit:g}" for limit in (0.1, 0.01, 1e-3)
    )
    lines = [
        f"formula: {found['terms']:,} terms within an error of {found['dropped']:.2g}; {above}",
        f"variance by the number of angles that meet: {orders}",
        f"tensor-train ranks: {' '.join(map(str, found['ranks']))}",
    ]
    if found["entanglement"] is not None:
        each = " ".join(f"{value:.2f}" for value in found["entanglement"])
        lines.append(f"entanglement of each qubit (mean {np.mean(found['entanglement']):.2f}): {each}")
    lines.append(f"strongest terms, for {', '.join(found['classes'])}:")
    lines += [
        f"  {' '.join(f'{c:+.3f}' for c in entry['coefficients'])}  {entry['term']}"
        for entry in found["strongest"][:_SHOWN]
    ]
    return "\n".join(lines)


def save_plots(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw terms, orders, spectrum, ranks and entanglement, a picture each (extra ``plot``)."""
    figure_module = require("matplotlib.figure", "plot", "a plot")
    drawings: dict[str, Callable[[Any], None]] = {
        "terms": lambda axes: _draw_terms(axes, found),
        "orders": lambda axes: _draw_bars(
            axes, [100 * share for share in found["orders"]], "angles that meet", "share of variance, %", 1
        ),
        "spectrum": lambda axes: _draw_spectrum(axes, found["spectrum"]),
        "ranks": lambda axes: _draw_bars(axes, found["ranks"], "angle", "tensor-train rank before it"),
    }
    if found["entanglement"] is not None:
        drawings["entanglement"] = lambda axes: _draw_bars(
            axes, found["entanglement"], "qubit", "entanglement with the others"
        )
    paths = []
    for name, draw in drawings.items():
        figure = figure_module.Figure(figsize=(6, 3.6), layout="constrained")
        draw(figure.subplots())
        paths.append(folder / f"{name}.png")
        with atomic_path(paths[-1]) as temporary:
            figure.savefig(temporary, format="png", dpi=120)
    return paths


def _entanglement(student: Student) -> list[float] | None:
    circuit = student.model_.circuit
    n = circuit.n_qubits
    labels = [f"{'I' * (n - 1 - q)}{axis}{'I' * q}" for q in range(n) for axis in "XYZ"]
    generator = torch.Generator().manual_seed(0)
    angles = 2 * np.pi * torch.rand(_SAMPLES, circuit.n_inputs, dtype=torch.float64, generator=generator)
    try:
        with torch.no_grad():
            bloch = StatevectorSimulator(circuit, labels)(angles, student.model_.theta.double())
    except TooLargeError:
        return None
    lengths = (bloch.reshape(_SAMPLES, n, 3) ** 2).sum(dim=2)
    return [float(value) for value in (1 - lengths).mean(dim=0)]


def _draw_terms(axes: Any, found: Mapping[str, Any]) -> None:
    names = [entry["term"] for entry in found["strongest"]]
    sizes = [max(abs(c) for c in entry["coefficients"]) for entry in found["strongest"]]
    axes.barh(range(len(names)), sizes, color=_COLOR)
    axes.set_yticks(range(len(names)), names, fontsize=6)
    axes.invert_yaxis()
    axes.set_xlabel("largest coefficient over the classes")


def _draw_bars(axes: Any, values: list[float], what: str, unit: str, first: int = 0) -> None:
    axes.bar(range(first, first + len(values)), values, color=_COLOR)
    axes.set_xlabel(what)
    axes.set_ylabel(unit)


def _draw_spectrum(axes: Any, spectrum: list[float]) -> None:
    axes.loglog(range(1, len(spectrum) + 1), spectrum, color=_COLOR)
    axes.set_xlabel("term, by size")
    axes.set_ylabel("coefficient")
    axes.grid(alpha=0.3)
