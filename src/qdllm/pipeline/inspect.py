"""`qdllm inspect`: what a circuit comes to, how it looks, and what runs it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from qdllm.circuits import ANSATZE, Circuit, analyse, make_ansatz, parse_observables
from qdllm.errors import ConfigError
from qdllm.files import atomic_path
from qdllm.pipeline.run_folder import student_folder
from qdllm.simulate import StatevectorSimulator
from qdllm.student import Student

__all__ = ["describe_circuit", "inspect_circuit", "save_drawing"]

_PICTURES = (".pdf", ".png", ".svg")


def inspect_circuit(
    target: str, n_qubits: int | None = None, n_layers: int | None = None
) -> tuple[Circuit, dict[str, Any]]:
    """Compile the circuit of a run, a saved student or an ansatz, and say what was found.

    Parameters
    ----------
    target : str
        A folder, or the name of an ansatz.
    n_qubits, n_layers : int, optional
        Size of an ansatz; 11 and 2 by default. A saved student has its own.

    Returns
    -------
    circuit : Circuit
    report : dict
        The fields of a `CircuitReport`, ``summary`` in words, and ``engine``.

    Raises
    ------
    ConfigError
        If the target is neither, or a size is given for a saved student.
    """
    if target in ANSATZE:
        circuit = make_ansatz(
            target, 11 if n_qubits is None else n_qubits, 2 if n_layers is None else n_layers
        )
        labels = None
    elif Path(target).exists():
        if n_qubits is not None or n_layers is not None:
            raise ConfigError(f"{target}: a saved student has its size; leave out --qubits and --layers")
        model = Student.from_pretrained(student_folder(target)).model_
        circuit, labels = model.circuit, model.observables
    else:
        raise ConfigError(
            f"{target!r} is neither a folder nor an ansatz; these are known: {', '.join(sorted(ANSATZE))}"
        )
    found = analyse(circuit, parse_observables(labels, circuit.n_qubits))
    engine = StatevectorSimulator(circuit, labels).engine
    return circuit, {"name": circuit.name, **asdict(found), "engine": engine, "summary": str(found)}


def describe_circuit(report: dict[str, Any]) -> str:
    """Write a report of `inspect_circuit` as text."""
    lines = [report["name"], report["summary"], f"engine: {report['engine']}"]
    if report["dead"]:
        lines.append(f"dead: {', '.join(report['dead'])}")
    lines += [f"one sum: {' + '.join(group)}" for group in report["merged"]]
    return "\n".join(lines)


def save_drawing(circuit: Circuit, path: Path) -> None:
    """Draw a circuit into a .pdf, .png or .svg (extra ``plot``), or as text into any other file.

    Raises
    ------
    MissingExtraError
        If a picture is asked for and matplotlib is not installed.
    """
    with atomic_path(path) as temporary:
        if path.suffix in _PICTURES:
            circuit.draw_mpl().savefig(temporary, format=path.suffix[1:])
        else:
            temporary.write_text(circuit.draw() + "\n", encoding="utf-8")
