"""A surrogate as one C99 header without dependencies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qdllm.surrogate.forms import SparseForm, TrainForm

if TYPE_CHECKING:
    from qdllm.surrogate.surrogate import Surrogate

__all__ = ["to_c"]

_ENCODINGS = {
    "linear": """    for (i = 0; i < QDLLM_ANGLES; i++) angles[i] += 1.57079632679489662;
""",
    "tanh": """    for (i = 0; i < QDLLM_ANGLES; i++) angles[i] = (tanh(angles[i]) + 1) * 1.57079632679489662;
""",
    "minmax": """    low = high = angles[0];
    for (i = 1; i < QDLLM_ANGLES; i++) {
        low = angles[i] < low ? angles[i] : low;
        high = angles[i] > high ? angles[i] : high;
    }
    for (i = 0; i < QDLLM_ANGLES; i++) angles[i] = high > low ? 10 * (angles[i] - low) / (high - low) : 0;
""",
}

_TERMS = """    /* products of the factors sin 0, cos 0, sin 1, cos 1, ... */
    {lengths}
    {factors}
    {coefficients}
    const unsigned char *factor = factors;
    for (k = 0; k < {n_terms}; k++) {{
        double product = 1;
        for (j = 0; j < lengths[k]; j++) product *= basis[*factor++];
        for (i = 0; i < QDLLM_CLASSES; i++) logits[i] += product * coefficients[k * QDLLM_CLASSES + i];
    }}
"""

_TRAIN = """    /* a tensor train over 1, sin, cos of each variable, contracted from its end */
    {ranks}
    {numbers}
    double one[{rank}] = {{1}}, two[{rank}], *now = one, *next = two, *kept;
    const float *core = numbers + sizeof numbers / sizeof *numbers;
    int right = 1;
    for (k = QDLLM_VARIABLES - 1; k >= 0; k--) {{
        core -= 3 * ranks[k] * right;
        for (i = 0; i < ranks[k]; i++) {{
            const float *row = core + 3 * i * right;
            next[i] = 0;
            for (j = 0; j < right; j++)
                next[i] += now[j] * (row[j] + basis[2 * k] * row[right + j]
                                     + basis[2 * k + 1] * row[2 * right + j]);
        }}
        right = ranks[k];
        kept = now, now = next, next = kept;
    }}
    for (i = 0; i < QDLLM_CLASSES; i++)
        for (j = 0; j < right; j++) logits[i] += now[j] * numbers[i * right + j];
"""

_HEADER = """/* A student of a few qubits as a classical formula. Made by qdllm; C99, needs math.h alone.
   No logit differs from the student's by more than {max_error:.3g}, at any angles. */
#ifndef QDLLM_STUDENT_H
#define QDLLM_STUDENT_H

#include <math.h>

#define QDLLM_FEATURES {n_features}
#define QDLLM_ANGLES {n_angles}
#define QDLLM_VARIABLES {n_variables}
#define QDLLM_CLASSES {n_classes}

/* From QDLLM_FEATURES features to QDLLM_CLASSES logits. */
static inline void qdllm_logits(const float *features, double *logits) {{
    {weight}
    {bias}
    {matrix}
    {offset}
    double angles[QDLLM_ANGLES], basis[2 * QDLLM_VARIABLES];{extremes}
    int i, j, k;
    for (i = 0; i < QDLLM_ANGLES; i++) {{
        angles[i] = bias[i];
        for (j = 0; j < QDLLM_FEATURES; j++)
            angles[i] += (double)weight[i * QDLLM_FEATURES + j] * features[j];
    }}
{encoding}    for (i = 0; i < QDLLM_VARIABLES; i++) {{
        double variable = offset[i];
        for (j = 0; j < QDLLM_ANGLES; j++) variable += matrix[i * QDLLM_ANGLES + j] * angles[j];
        basis[2 * i] = sin(variable);
        basis[2 * i + 1] = cos(variable);
    }}
    for (i = 0; i < QDLLM_CLASSES; i++) logits[i] = 0;
    {{
{formula}    }}
}}

/* The number of the most probable class. */
static inline int qdllm_predict(const float *features) {{
    double logits[QDLLM_CLASSES];
    int i, best = 0;
    qdllm_logits(features, logits);
    for (i = 1; i < QDLLM_CLASSES; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}}

/* The name of a class, in UTF-8. */
static inline const char *qdllm_class_name(int number) {{
    static const char *const names[QDLLM_CLASSES] = {{{names}}};
    return names[number];
}}

#endif
"""


def to_c(surrogate: Surrogate) -> str:
    """Write a surrogate as a C99 header: ``qdllm_logits``, ``qdllm_predict``, ``qdllm_class_name``."""
    form = surrogate.form
    return _HEADER.format(
        max_error=surrogate.certificate.max_error,
        n_features=surrogate.n_features_in_,
        n_angles=len(surrogate.bias),
        n_variables=len(surrogate.offset),
        n_classes=len(surrogate.classes_),
        weight=_array("float", "weight", surrogate.weight, "f"),
        bias=_array("double", "bias", surrogate.bias),
        matrix=_array("double", "matrix", surrogate.matrix),
        offset=_array("double", "offset", surrogate.offset),
        extremes=" double low, high;" if surrogate.encoding == "minmax" else "",
        encoding=_ENCODINGS[surrogate.encoding],
        formula=_train(form) if isinstance(form, TrainForm) else _terms(form),
        names=", ".join(f'"{_escaped(str(name))}"' for name in surrogate.classes_),
    )


def _terms(form: SparseForm) -> str:
    polynomial = form.polynomial
    lengths, factors = [], []
    for sines, cosines in zip(polynomial.sines.tolist(), polynomial.cosines.tolist(), strict=True):
        held = [j for j in range(form.n_variables) if (sines | cosines) >> j & 1]
        lengths.append(len(held))
        factors += [2 * j + (cosines >> j & 1) for j in held]
    return _TERMS.format(
        lengths=_array("unsigned char", "lengths", lengths),
        factors=_array("unsigned char", "factors", factors or [0]),
        coefficients=_array("double", "coefficients", polynomial.coefficients),
        n_terms=len(polynomial),
    )


def _train(form: TrainForm) -> str:
    return _TRAIN.format(
        ranks=_array("int", "ranks", form.ranks),
        numbers=_array("float", "numbers", form.numbers, "f"),
        rank=max(form.ranks),
    )


def _array(kind: str, name: str, values: Iterable[Any] | NDArray[Any], suffix: str = "") -> str:
    flat = np.asarray(values).ravel().tolist()
    if suffix:
        words = [f"{value:.9g}" for value in flat]
        words = [(w if set(w) & set(".en") else w + ".0") + suffix for w in words]
    else:
        words = [repr(value) for value in flat]
    return f"static const {kind} {name}[] = {{{','.join(words)}}};"


def _escaped(name: str) -> str:
    """Write UTF-8 with octal escapes for all that is not plain."""
    return "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in name.encode()
    )
