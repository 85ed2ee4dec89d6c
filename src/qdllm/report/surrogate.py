"""The reader of surrogate/: the student as a classical formula, and what is proven of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qdllm.errors import DataError
from qdllm.files import folder_bytes, read_json

__all__ = ["read_surrogate"]


def read_surrogate(folder: Path) -> dict[str, Any] | None:
    """Return what is known of the surrogate of a run, None where none was made.

    Parameters
    ----------
    folder : Path
        ``RUN/surrogate``; it need not be there.

    Raises
    ------
    DataError
        If something else lies there.
    """
    path = folder / "config.json"
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        certificate = content["certificate"]
        return {
            "kind": content.get("kind"),
            "terms": content.get("terms"),
            "bytes": folder_bytes(folder),
            "max_error": certificate.get("max_error"),
            "agreement": certificate.get("agreement"),
        }
    except (KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{path}: not a surrogate that was compiled ({error}); compile it again") from error
