"""From a trained student to a classical formula with a certificate, and its exports."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdllm.surrogate.certificate import Certificate, Check
    from qdllm.surrogate.compiling import check_surrogate, compile_student, expand_student
    from qdllm.surrogate.compression import compress, tensor_train
    from qdllm.surrogate.estimator import SurrogateClassifier
    from qdllm.surrogate.forms import SparseForm, TrainForm
    from qdllm.surrogate.polynomial import Polynomial
    from qdllm.surrogate.propagation import Expansion, expand
    from qdllm.surrogate.surrogate import Surrogate
    from qdllm.surrogate.text import TextSurrogate

_MODULES = {
    "Certificate": "certificate",
    "Check": "certificate",
    "Expansion": "propagation",
    "Polynomial": "polynomial",
    "SparseForm": "forms",
    "Surrogate": "surrogate",
    "SurrogateClassifier": "estimator",
    "TextSurrogate": "text",
    "TrainForm": "forms",
    "check_surrogate": "compiling",
    "compile_student": "compiling",
    "compress": "compression",
    "expand": "propagation",
    "expand_student": "compiling",
    "tensor_train": "compression",
}

__all__ = [
    "Certificate",
    "Check",
    "Expansion",
    "Polynomial",
    "SparseForm",
    "Surrogate",
    "SurrogateClassifier",
    "TextSurrogate",
    "TrainForm",
    "check_surrogate",
    "compile_student",
    "compress",
    "expand",
    "expand_student",
    "tensor_train",
]


def __getattr__(name: str) -> Any:
    # Lazy, so that a saved surrogate predicts with NumPy alone.
    if name in _MODULES:
        return getattr(import_module(f"qdllm.surrogate.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'qdllm.surrogate' has no attribute {name!r}")
