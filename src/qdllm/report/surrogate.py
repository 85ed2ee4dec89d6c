"""The reader of surrogate/: the student as a classical formula, and what is proven of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qdllm.files import read_versioned

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
    content = read_versioned(path, "qdllm.surrogate")
    certificate, size = content["certificate"], content["size"]
    check = certificate["check"] or {"agreement": None, "certified": None}
    return {
        "form": content["form"],
        "size": ", ".join(f"{value:,} {name}" for name, value in size.items()),
        "bytes": content["bytes"],
        "max_error": certificate["max_error"],
        "agreement": check["agreement"],
        "certified": check["certified"],
    }
