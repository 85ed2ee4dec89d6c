"""`qdllm export --format qasm3|qasm2`: a student's circuit as OpenQASM."""

from __future__ import annotations

from pathlib import Path

import torch

from qdllm.circuits import to_qasm2, to_qasm3
from qdllm.files import write_text
from qdllm.pipeline.run_folder import student_folder
from qdllm.student import Student, TextStudent

__all__ = ["export_qasm"]


def export_qasm(path: str | Path, version: int, out: str | Path, text: str | None = None) -> str:
    """Write the student's circuit as OpenQASM, its trained parameters bound.

    Parameters
    ----------
    path : path
        A run, or a saved student.
    version : {2, 3}
        OpenQASM 3 declares the inputs as ``input float[64] x_0``; OpenQASM 2 has no symbols, so its inputs
        are bound to the angles of `text`, or to 0.
    out : path
    text : str, optional
        Bind the inputs to the angles of this text.

    Returns
    -------
    str
        What the inputs were bound to, in a sentence.
    """
    folder = student_folder(path)
    student = Student.from_pretrained(folder)
    circuit, theta = student.model_.circuit, student.model_.theta.tolist()
    angles: list[float] | None = None
    if text is not None:
        x = TextStudent.from_pretrained(folder).encoder_.encode([text])
        with torch.no_grad():
            angles = student.model_.angles(torch.as_tensor(x, dtype=torch.float64))[0].tolist()
    if version == 3:
        write_text(out, to_qasm3(circuit, angles, theta, measure=True))
        return (
            "inputs are declared as input float[64]" if text is None else "inputs bound to the text's angles"
        )
    write_text(out, to_qasm2(circuit, angles or [0.0] * circuit.n_inputs, theta, measure=True))
    return (
        "inputs bound to 0: give --text to bind a text's angles"
        if text is None
        else ("inputs bound to the text's angles")
    )
