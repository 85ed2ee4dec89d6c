"""From a trained student to the smallest formula within an error."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from qdllm.errors import ConfigError
from qdllm.surrogate.certificate import Certificate, check_logits
from qdllm.surrogate.compression import compress
from qdllm.surrogate.polynomial import Polynomial
from qdllm.surrogate.propagation import Expansion, expand
from qdllm.surrogate.surrogate import Surrogate

if TYPE_CHECKING:
    from qdllm.student import Student

__all__ = ["check_surrogate", "compile_student", "expand_student"]

_TRUNCATION = 0.05  # share of the error that is left to the propagation


def expand_student(student: Student, *, max_error: float = 0.0) -> Expansion:
    """Write the logits of a trained student as a trigonometric polynomial of its angles.

    Parameters
    ----------
    student : Student
        Trained.
    max_error : float
        How far truncation may move a logit at any angles; 0 for none.

    Raises
    ------
    ConfigError
        If the student is not trained, has no circuit, or a parameter of it is not finite.
    CircuitError, TooLargeError
        If the circuit is too wide for a polynomial.
    """
    model = getattr(student, "model_", None)
    if model is None:
        raise ConfigError("the student is not trained: fit it first, then compile it")
    if not hasattr(model, "circuit"):
        raise ConfigError(f"{type(student).__qualname__} has no circuit: there is nothing to compile")
    for name, tensor in model.state_dict().items():
        if not np.isfinite(tensor.numpy()).all():
            raise ConfigError(f"the student's {name} holds a number that is not finite: train it again")
    found = expand(
        model.circuit,
        model.theta.detach().numpy().astype(np.float64),
        model.readout.weight.detach().numpy().astype(np.float64),
        model.observables,
        max_error=max_error,
    )
    return replace(found, polynomial=_plus(found.polynomial, model.readout.bias.detach().numpy()))


def compile_student(student: Student, max_error: float = 0.01) -> Surrogate:
    """Find the smallest formula whose logits stay within `max_error` of the student's at all angles.

    Parameters
    ----------
    student : Student
        Trained.
    max_error : float
        Above 0. One that no form can keep gets the closest one; its certificate says so (`met`).

    Raises
    ------
    ConfigError
        If `max_error` is no number above 0, or the student cannot be compiled.
    CircuitError, TooLargeError
        If the circuit is too wide for a polynomial.
    """
    if not (math.isfinite(max_error) and max_error > 0):
        raise ConfigError(f"max_error is {max_error}: give a number above 0, such as 0.01")
    expansion = expand_student(student, max_error=_TRUNCATION * max_error)
    truncation = expansion.dropped
    form, errors = compress(expansion.polynomial, max_error - float(truncation.max()))
    errors = errors + truncation
    model = student.model_
    return Surrogate(
        classes_=student.classes_,
        weight=model.projection.weight.detach().numpy().astype(np.float32),
        bias=model.projection.bias.detach().numpy().astype(np.float64),
        encoding=model.encoding.name,
        matrix=expansion.matrix,
        offset=expansion.offset,
        form=form,
        certificate=Certificate(
            max_error=float(errors.max()),
            errors=tuple(errors.tolist()),
            truncation=float(truncation.max()),
            asked=max_error,
        ),
    )


def check_surrogate(surrogate: Surrogate, student: Student, X: ArrayLike) -> Surrogate:
    """Return the surrogate with a certificate that tells how it does on features X (n, n_features)."""
    certificate = surrogate.certificate
    x = np.asarray(X, dtype=np.float64)
    check = check_logits(surrogate.decision_logits(x), student.decision_logits(x), certificate.max_error)
    return replace(surrogate, certificate=replace(certificate, check=check))


def _plus(polynomial: Polynomial, constant: ArrayLike) -> Polynomial:
    none = np.zeros(1, dtype=np.uint64)
    rest = polynomial.take(polynomial.supports != 0)
    total = polynomial.take(polynomial.supports == 0).coefficients.sum(axis=0, keepdims=True) + constant
    return Polynomial(
        polynomial.n_variables,
        np.append(none, rest.sines),
        np.append(none, rest.cosines),
        np.concatenate([total, rest.coefficients]),
    )
