"""Optional packages: imported where they are needed, and named when they are missing."""

import importlib
from typing import Any

from qdllm.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, extra: str, purpose: str) -> Any:
    """Import an optional module.

    Parameters
    ----------
    module : str
        The module's dotted name, for example ``"transformers"``.
    extra : str
        The extra of qdllm that brings it, for example ``"llm"``.
    purpose : str
        What needs it, for the message: "reading a Hugging Face model".

    Raises
    ------
    MissingExtraError
        If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".", maxsplit=1)[0]:
            raise
        raise MissingExtraError(
            f"{purpose} needs the package {module.split('.', maxsplit=1)[0]!r}: pip install 'qdllm[{extra}]'"
        ) from error
