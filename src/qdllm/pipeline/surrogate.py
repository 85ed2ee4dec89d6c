"""`qdllm compile`: a run's student as a classical formula, with its encoder, so that it takes texts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qdllm.encoders import Features, load_encoder
from qdllm.errors import ConfigError, QdllmError
from qdllm.files import atomic_folder, read_json
from qdllm.pipeline.run_folder import RunFolder, student_folder
from qdllm.student import Student, TextStudent
from qdllm.surrogate import Surrogate, TextSurrogate, check_surrogate, compile_student
from qdllm.surrogate.saving import write_surrogate
from qdllm.surrogate.text import ENCODER_FOLDER

if TYPE_CHECKING:
    from qdllm.data import TextDataset

__all__ = ["compile_run", "load_surrogate_of", "load_text_model", "saved_type"]


def saved_type(path: str | Path) -> str:
    """Return the `type` that config.json of a run's student or of a saved folder names."""
    content = read_json(student_folder(path) / "config.json")
    return str(content.get("type")) if isinstance(content, dict) else ""


def load_text_model(path: str | Path) -> TextStudent | TextSurrogate:
    """Load what takes texts from a run, a saved student or a saved surrogate.

    Raises
    ------
    SavedModelError
        If there is none, or it is damaged.
    """
    folder = student_folder(path)
    if saved_type(folder) == "surrogate":
        return TextSurrogate.from_pretrained(folder)
    return TextStudent.from_pretrained(folder)


def load_surrogate_of(path: str | Path, max_error: float) -> Surrogate:
    """Load a saved surrogate, or compile the student of a run."""
    folder = student_folder(path)
    if saved_type(folder) == "surrogate":
        return Surrogate.from_pretrained(folder)
    return compile_student(Student.from_pretrained(folder), max_error)


def compile_run(
    path: str | Path, out: str | Path | None, max_error: float, data: TextDataset | None = None
) -> dict[str, Any]:
    """Compile the student of a run into a folder that predicts like the run.

    Parameters
    ----------
    path : path
        A run, or a saved student.
    out : path, optional
        The folder; ``surrogate`` in that of the run unless given.
    max_error : float
        How far a logit may be from the student's, at any angles.
    data : TextDataset, optional
        Texts to compare the two on; the run's own test rows unless given.

    Returns
    -------
    dict
        ``certificate``, ``form``, ``terms`` (of a sparse form; of a tensor train its numbers), and the
        ``bytes`` of the formula, of the projection and of the encoder (None where that is not at hand).

    Raises
    ------
    ConfigError
        If `max_error` is no number above 0, the path holds no student, or `out` something else.
    """
    folder, run = student_folder(path), RunFolder(path)
    if saved_type(folder) == "surrogate":
        raise ConfigError(f"{folder}: compiled already; give the run or the student that it was made from")
    if out is None and folder == run.path:
        raise ConfigError(f"{folder}: a saved student, not a run; give --out")
    target = run.surrogate if out is None else Path(out)
    _check_free(target)
    student = Student.from_pretrained(folder)
    surrogate = compile_student(student, max_error)
    x = _features(run, folder, data)
    if x is not None:
        surrogate = check_surrogate(surrogate, student, x)
    encoder = read_json(folder / "config.json")["encoder"]
    with atomic_folder(target) as temporary:
        if encoder is not None:
            shutil.copytree(folder / ENCODER_FOLDER, temporary / ENCODER_FOLDER)
        config = write_surrogate(surrogate, temporary, encoder=encoder)
    size = config["size"]
    return {
        "schema": {"name": "qdllm.compile", "version": 1},
        "certificate": config["certificate"],
        "form": config["form"],
        "precision": config["precision"],
        "terms": size.get("terms", size.get("numbers")),
        "bytes": config["bytes"],
        "projection_bytes": config["projection_bytes"],
        "encoder_bytes": None if encoder is None else _encoder_bytes(folder / ENCODER_FOLDER),
        "out": str(target),
    }


def _check_free(target: Path) -> None:
    """Refuse a folder that holds something else than a surrogate, before anything costly is done."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        config = target / "config.json"
        if not config.is_file() or read_json(config).get("type") != "surrogate":
            raise ConfigError(f"{target}: holds something else than a surrogate; give another --out")


def _features(run: RunFolder, folder: Path, data: TextDataset | None) -> NDArray[np.float32] | None:
    if data is not None:
        if not (folder / ENCODER_FOLDER).is_dir():
            raise ConfigError(f"{folder}: this student has no encoder, so it cannot be compared on texts")
        return load_encoder(folder / ENCODER_FOLDER).encode(data.texts)
    if not (run.features.is_file() and run.split.is_file()):
        return None
    split = pq.read_table(run.split, columns=["row_id", "part"]).to_pydict()
    rows = [row for row, part in zip(split["row_id"], split["part"], strict=True) if part == "test"]
    return Features.read(run.features).align(rows) if rows else None


def _encoder_bytes(folder: Path) -> int | None:
    try:
        return load_encoder(folder).n_bytes
    except QdllmError:
        return None
