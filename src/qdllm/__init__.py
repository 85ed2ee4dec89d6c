"""Distil a large language model into a student of a few qubits, and know what it is worth."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdllm.student import Student, TextStudent
    from qdllm.surrogate import Surrogate, TextSurrogate

__version__ = "0.1.0"

__all__ = ["Student", "Surrogate", "TextStudent", "TextSurrogate"]


def __getattr__(name: str) -> Any:
    # Lazy, so that what needs no torch does not wait for it.
    if name in __all__:
        folder = import_module(f"qdllm.{'surrogate' if name.endswith('Surrogate') else 'student'}")
        return getattr(folder, name)
    raise AttributeError(f"module 'qdllm' has no attribute {name!r}")
