"""A student on n-grams as one Python file without dependencies: its table, its formula, and how to count."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdllm.encoders import NgramEncoder, hashing
from qdllm.errors import ConfigError
from qdllm.surrogate.forms import Form, TrainForm

if TYPE_CHECKING:
    from qdllm.surrogate.text import TextSurrogate

__all__ = ["to_python"]

_LINE = 100  # characters of packed numbers


def to_python(model: TextSurrogate) -> str:
    """Write a surrogate and its n-gram table as the source of a Python program.

    Raises
    ------
    ConfigError
        If the encoder is another one.
    """
    encoder, surrogate = model.encoder, model.surrogate
    if not isinstance(encoder, NgramEncoder):
        raise ConfigError(
            f"encoder {encoder.name!r}: only a student on `ngrams` goes into one Python file; "
            "export another one as numpy, c or onnx"
        )
    table = encoder.table
    head = {
        **hashing.constants(),
        "slots": len(table["signatures"]),
        "scale": table["scale"].tolist(),
        "classes": [str(name) for name in surrogate.classes_],
        "encoding": surrogate.encoding,
        "weight": surrogate.weight.tolist(),
        "bias": surrogate.bias.tolist(),
        "matrix": surrogate.matrix.tolist(),
        "offset": surrogate.offset.tolist(),
        **_formula(surrogate.form),
    }
    signatures = table["signatures"].astype("<u2").tobytes()
    content = json.dumps(head).encode() + b"\n" + signatures + table["vectors"].tobytes()
    packed = base64.b85encode(zlib.compress(content, level=9)).decode()
    lines = "\n".join(f'    "{packed[i : i + _LINE]}"' for i in range(0, len(packed), _LINE))
    source = Path(__file__).with_name("standalone_ngrams.py").read_text(encoding="utf-8")
    return source.replace('PACKED = ""\n', f"PACKED = (\n{lines}\n)\n")


def _formula(form: Form) -> dict[str, Any]:
    if isinstance(form, TrainForm):
        return {"lead": form.lead.tolist(), "cores": [core.tolist() for core in form.cores]}
    polynomial = form.polynomial
    digits = [
        "".join(str((sines >> j & 1) + 2 * (cosines >> j & 1)) for j in range(form.n_variables))
        for sines, cosines in zip(polynomial.sines.tolist(), polynomial.cosines.tolist(), strict=True)
    ]
    return {"terms": list(zip(digits, polynomial.coefficients.tolist(), strict=True))}
