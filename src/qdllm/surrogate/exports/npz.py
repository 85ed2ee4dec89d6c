"""A surrogate as one .npz file, and a script of 40 lines beside it that predicts without qdllm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qdllm.files import atomic_path, write_text

if TYPE_CHECKING:
    from qdllm.surrogate.surrogate import Surrogate

__all__ = ["write_npz"]


def write_npz(surrogate: Surrogate, path: Path) -> Path:
    """Write all numbers to `path`, and the script to the same name with ``.py``; return that.

    Parameters
    ----------
    surrogate : Surrogate
    path : Path
        Ends with ``.npz``.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            classes=np.array([str(name) for name in surrogate.classes_]),
            weight=surrogate.weight,
            bias=surrogate.bias,
            encoding=np.array(surrogate.encoding),
            matrix=surrogate.matrix,
            offset=surrogate.offset,
            **surrogate.form.arrays,
        )
    script = path.with_suffix(".py")
    write_text(script, Path(__file__).with_name("standalone.py").read_text(encoding="utf-8"))
    return script
