"""Distil a large language model into a student of a few qubits, and know what it is worth."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdllm.student import Student, TextStudent

__version__ = "0.1.0"

__all__ = ["Student", "TextStudent"]


def __getattr__(name: str) -> Any:
    # Lazy, so that what needs no torch does not wait for it.
    if name in __all__:
        from qdllm import student

        return getattr(student, name)
    raise AttributeError(f"module 'qdllm' has no attribute {name!r}")
