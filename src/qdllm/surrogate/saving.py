"""A surrogate on disk: config.json, two .npz files and a model card. No pickle, nothing that runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

import qdllm
from qdllm.errors import SavedModelError
from qdllm.files import atomic_folder, file_sha256, write_json, write_text
from qdllm.surrogate.certificate import Certificate
from qdllm.surrogate.forms import form_from_arrays

if TYPE_CHECKING:
    from qdllm.surrogate.surrogate import Surrogate

__all__ = ["load_surrogate", "read_surrogate_config", "save_surrogate", "write_surrogate"]

_S = TypeVar("_S", bound="Surrogate")
_CONFIG, _FORMULA, _PROJECTION, _CARD = "config.json", "formula.npz", "projection.npz", "README.md"
_SCHEMA = {"name": "qdllm.surrogate", "version": 1}


def save_surrogate(surrogate: Surrogate, path: Path) -> None:
    """Write a surrogate into the folder `path`, atomically."""
    with atomic_folder(path) as folder:
        write_surrogate(surrogate, folder)


def write_surrogate(
    surrogate: Surrogate, folder: Path, *, encoder: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Write a surrogate beside the files that lie in `folder`; config.json holds the hash of each.

    Returns
    -------
    dict
        What config.json holds.
    """
    np.savez_compressed(folder / _FORMULA, allow_pickle=False, **surrogate.form.arrays)
    np.savez(
        folder / _PROJECTION,
        weight=surrogate.weight,
        bias=surrogate.bias,
        matrix=surrogate.matrix,
        offset=surrogate.offset,
    )
    config = {
        "schema": _SCHEMA,
        "type": "surrogate",
        "qdllm_version": qdllm.__version__,
        "classes": surrogate.classes_.tolist(),
        "n_features": surrogate.n_features_in_,
        "encoding": surrogate.encoding,
        "form": surrogate.form.kind,
        "precision": surrogate.form.precision,
        "size": surrogate.form.size,
        "bytes": (folder / _FORMULA).stat().st_size,
        "projection_bytes": (folder / _PROJECTION).stat().st_size,
        "certificate": surrogate.certificate.as_dict(),
        "encoder": encoder,
        "files": {
            file.relative_to(folder).as_posix(): file_sha256(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        },
    }
    # The digest of config.json itself catches accidents.
    write_json(folder / _CONFIG, {**config, "files": {**config["files"], _CONFIG: _digest(config)}})
    write_text(folder / _CARD, _model_card(config))
    return config


def read_surrogate_config(path: Path) -> dict[str, Any]:
    """Read and check config.json of a saved surrogate and the hash of every file it names.

    Raises
    ------
    SavedModelError
        If anything is missing, truncated, altered or of another version.
    """
    file = path / _CONFIG
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SavedModelError(f"{path}: no saved surrogate here ({_CONFIG}: {error.strerror})") from error
    except ValueError as error:
        raise SavedModelError(f"{file}: not valid JSON: the file is truncated or altered") from error
    if not isinstance(content, dict) or content.get("type") != "surrogate":
        raise SavedModelError(f"{file}: not a saved surrogate; make one with `qdllm compile`")
    if content.get("schema") != _SCHEMA:
        raise SavedModelError(f"{file}: another version of the format; this qdllm reads {_SCHEMA['version']}")
    files = content.get("files")
    files = dict(files) if isinstance(files, dict) else {}
    if files.pop(_CONFIG, None) != _digest({**content, "files": files}):
        raise SavedModelError(f"{file}: altered after it was saved; compile the student again")
    for name, expected in files.items():
        part = path / name
        if not part.resolve().is_relative_to(path.resolve()) or not part.is_file():
            raise SavedModelError(f"{part}: missing; compile the student again")
        if file_sha256(part) != expected:
            raise SavedModelError(
                f"{part}: truncated or altered after it was saved; compile the student again"
            )
    return content


def load_surrogate(cls: type[_S], path: Path) -> _S:
    """Load what `save_surrogate` wrote."""
    config = read_surrogate_config(path)
    try:
        projection = _read_arrays(path / _PROJECTION)
        classes = np.asarray(config["classes"])
        form = form_from_arrays(len(classes), len(projection["offset"]), _read_arrays(path / _FORMULA))
        return cls(
            classes_=classes,
            encoding=config["encoding"],
            form=form,
            certificate=Certificate.from_dict(config["certificate"]),
            **projection,
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SavedModelError(f"{path}: the files do not fit together; compile the student again") from error


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _model_card(config: dict[str, Any]) -> str:
    certificate, check = config["certificate"], config["certificate"]["check"]
    size = ", ".join(f"{value:,} {name}" for name, value in config["size"].items())
    seen = (
        f"On {check['rows']:,} texts: largest difference {check['max_error']:.2g}, the same class for "
        f"{100 * check['agreement']:.2f} %, provably so for {100 * check['certified']:.1f} %."
        if check
        else "It was not looked at on texts."
    )
    usage = "TextSurrogate" if config["encoder"] else "Surrogate"
    argument = "list_of_texts" if config["encoder"] else "features"
    return f"""---
library_name: qdllm
tags: [text-classification, knowledge-distillation, quantum-inspired]
---

# A compiled qdllm student: {len(config["classes"])} classes, {config["bytes"]:,} bytes

The logits of a small quantum circuit as a classical formula: a {config["form"]} trigonometric polynomial
({size}, {config["precision"]}) of {config["encoding"]} angles. No circuit is simulated.
Made by qdllm {config["qdllm_version"]}.

- Classes: {", ".join(map(str, config["classes"]))}
- Formula: {config["bytes"]:,} bytes; projection: {config["projection_bytes"]:,} bytes
- Proven: no logit differs from the student's by more than {certificate["max_error"]:.3g}, at any angles.
- {seen}

## Use

```python
from qdllm import {usage}
surrogate = {usage}.from_pretrained("this folder")
surrogate.predict_proba({argument})
```
"""
