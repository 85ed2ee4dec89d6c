"""A student on disk: config.json, model.safetensors and a model card. No pickle, nothing that runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import qdllm
from qdllm.errors import QdllmError, SavedModelError
from qdllm.files import atomic_folder, file_sha256, write_json, write_text
from qdllm.student.estimator import Student

__all__ = ["Provenance", "StudentConfig", "load_student", "read_config", "save_student", "write_student"]

_S = TypeVar("_S", bound=Student)
_WEIGHTS, _CONFIG, _CARD = "model.safetensors", "config.json", "README.md"


class Schema(BaseModel):
    """Name and version of a file format."""

    model_config = ConfigDict(extra="forbid")

    name: str
    version: int


class Provenance(BaseModel):
    """Where a student comes from, for its model card; nothing in it changes a prediction."""

    model_config = ConfigDict(extra="forbid")

    data: str = Field("not recorded", description="The data set and how many rows of it were used for what.")
    teacher: str = Field("none", description="The teacher and its mode.")
    encoder: str = Field("none: the student takes features", description="What turned texts into features.")
    encoder_parameters: int | None = Field(None, description="Numbers the encoder needs, where known.")
    encoder_trained: int = Field(0, description="How many of them were trained together with the student.")
    metrics: dict[str, float] = Field(default_factory=dict, description="Scores on unseen rows.")


class StudentConfig(BaseModel):
    """What config.json of a saved student holds."""

    model_config = ConfigDict(extra="forbid")

    schema_: Schema = Field(alias="schema")
    type: Literal["student"]
    qdllm_version: str
    classes: list[StrictStr] | list[StrictBool] | list[StrictInt] | list[float]
    n_features: int = Field(ge=1)
    parameters: dict[str, Any]
    parameter_counts: dict[str, int | None]
    encoder: dict[str, Any] | None = None
    provenance: Provenance
    files: dict[str, str]


def save_student(student: Student, path: Path, *, provenance: Provenance | None = None) -> None:
    """Write a student that takes features into the folder `path`, atomically."""
    with atomic_folder(path) as folder:
        write_student(student, folder, provenance=provenance or Provenance())


def write_student(
    student: Student, folder: Path, *, provenance: Provenance, encoder: dict[str, Any] | None = None
) -> None:
    """Write a student beside the files that lie in `folder`; config.json holds the hash of each."""
    weights = {name: t.float().contiguous() for name, t in student.model_.state_dict().items()}
    save_file(weights, folder / _WEIGHTS, metadata={"type": "student"})
    counts, extra = student.parameter_counts(), provenance.encoder_parameters
    config = StudentConfig.model_validate(
        {
            "schema": {"name": "qdllm.student", "version": 1},
            "type": "student",
            "qdllm_version": qdllm.__version__,
            "classes": student.classes_.tolist(),
            "n_features": student.n_features_in_,
            "parameters": student.get_params(),
            "parameter_counts": {**counts, "inference": None if extra is None else counts["trained"] + extra},
            "encoder": encoder,
            "provenance": provenance,
            "files": {
                file.relative_to(folder).as_posix(): file_sha256(file)
                for file in sorted(folder.rglob("*"))
                if file.is_file()
            },
        }
    )
    content = config.model_dump(mode="json", by_alias=True)
    # The digest of config.json itself stands in the card's place of a signature: it catches accidents.
    write_json(folder / _CONFIG, {**content, "files": {**content["files"], _CONFIG: _digest(content)}})
    write_text(folder / _CARD, _model_card(config))


def read_config(path: Path) -> StudentConfig:
    """Read and check config.json and the hash of every file it names.

    Raises
    ------
    SavedModelError
        If anything is missing, truncated, altered or of another version.
    """
    try:
        content = json.loads((path / _CONFIG).read_text(encoding="utf-8"))
    except OSError as error:
        raise SavedModelError(f"{path}: no saved student here ({_CONFIG}: {error.strerror})") from error
    except ValueError as error:
        raise SavedModelError(
            f"{path / _CONFIG}: not valid JSON: the file is truncated or altered"
        ) from error
    try:
        config = StudentConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise SavedModelError(f"{path / _CONFIG}, {where}: {first['msg']}") from error
    if config.schema_.version != 1:
        raise SavedModelError(
            f"{path / _CONFIG}: version {config.schema_.version} of the format; this qdllm reads version 1"
        )
    if config.files.pop(_CONFIG, None) != _digest({**content, "files": config.files}):
        raise SavedModelError(
            f"{path / _CONFIG}: altered after it was saved; fetch or train the student again"
        )
    for name, expected in config.files.items():
        file = path / name
        if not file.resolve().is_relative_to(path.resolve()) or not file.is_file():
            raise SavedModelError(f"{file}: missing; fetch or train the student again")
        if file_sha256(file) != expected:
            raise SavedModelError(f"{file}: truncated or altered after it was saved; fetch or train it again")
    return config


def load_student(cls: type[_S], path: Path) -> _S:
    """Load what `save_student` wrote."""
    config = read_config(path)
    try:
        weights = load_file(path / _WEIGHTS)
        student = cls(**config.parameters)
        model = student._make_model(config.n_features, len(config.classes))
        model.load_state_dict(weights)
    except (OSError, SafetensorError, TypeError, RuntimeError, QdllmError) as error:
        raise SavedModelError(
            f"{path}: config and weights do not fit together ({_first_line(error)})"
        ) from error
    if not all(bool(torch.isfinite(t).all()) for t in weights.values()):
        raise SavedModelError(f"{path / _WEIGHTS}: a weight is not finite; train the student again")
    student.classes_ = np.asarray(config.classes)
    student.n_features_in_ = config.n_features
    student.model_ = model.double().eval()
    return student


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _number(count: int | None) -> str:
    return "not known: the features came from a file" if count is None else f"{count:,}"


def _model_card(config: StudentConfig) -> str:
    counts, source, options = config.parameter_counts, config.provenance, config.parameters
    metrics = "\n".join(f"| {name} | {value:.4g} |" for name, value in source.metrics.items())
    usage = "TextStudent" if config.encoder else "Student"
    argument = "list_of_texts" if config.encoder else "features"
    return f"""---
library_name: qdllm
tags: [text-classification, knowledge-distillation, quantum-machine-learning]
---

# A qdllm student: {options["n_qubits"]} qubits, {len(config.classes)} classes

A variational quantum circuit ({options["ansatz"]}, {options["n_layers"]} layers,
{options["encoding"]} encoding) between two linear maps, simulated exactly.
Made by qdllm {config.qdllm_version}.

- Classes: {", ".join(map(str, config.classes))}
- Data: {source.data}
- Teacher: {source.teacher}
- Encoder: {source.encoder}

## Size

| parameters | |
|---|---|
| trained | {(counts["trained"] or 0) + source.encoder_trained:,} |
| … of which projection | {counts["projection"]:,} |
| … circuit | {counts["circuit"]:,} |
| … readout | {counts["readout"]:,} |
| … encoder | {source.encoder_trained:,} |
| everything that inference needs, encoder included | {_number(counts["inference"])} |

## Scores on rows never seen in training

| | |
|---|---|
{metrics or "| not measured | |"}

## Use

```python
from qdllm import {usage}
student = {usage}.from_pretrained("this folder")
student.predict_proba({argument})
```
"""
