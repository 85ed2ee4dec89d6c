"""The compiled kernel: found, and of this version of the code. Needs no torch."""

import logging
from functools import cache
from importlib import import_module
from typing import Any

from qdllm.errors import InstallError

__all__ = ["instruction_sets", "load_kernel", "say_that_torch_serves"]

_log = logging.getLogger(__name__)

# What passes between Python and src/kernel/module.cpp; a change of it is a new number in both.
_INTERFACE = 4


def instruction_sets() -> tuple[str, ...]:
    """Return the instruction sets that the kernel may use here, the best first; none if it was not built.

    Raises
    ------
    InstallError
        If a kernel is there that cannot be loaded, or is not that of this version of the code.
    """
    kernel = load_kernel()
    return tuple(kernel.instruction_sets()) if kernel else ()


@cache
def say_that_torch_serves() -> None:
    """Warn, once a process, that there is no kernel."""
    _log.warning(
        "the compiled kernel is not built: circuits run in torch, many times slower; "
        "install GCC or Clang, then qdllm again with pip's --no-cache-dir"
    )


@cache
def load_kernel() -> Any:
    """Return the compiled module, or None where the install found no compiler.

    Raises
    ------
    InstallError
        If a kernel is there that cannot be loaded, or is not that of this version of the code.
    """
    try:
        kernel = import_module("qdllm.simulate._kernel")
    except ModuleNotFoundError:
        return None
    except ImportError as error:
        wrong = f"cannot be loaded ({str(error).splitlines()[0]})"
    else:
        if getattr(kernel, "interface", None) == _INTERFACE:
            return kernel
        wrong = "was built from another version of the code"
    raise InstallError(
        f"the compiled kernel {wrong}: run 'pip install --no-deps -e .' in the source folder, "
        "or 'pip install --force-reinstall --no-deps qdllm' without one"
    )
