"""The command line itself: what holds for every command, and the exit status."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

import qdllm
from qdllm.cli.printing import fail
from qdllm.errors import QdllmError

__all__ = ["app", "main"]

app = typer.Typer(
    name="qdllm",
    help="Distil a large language model into a student of a few qubits, and know what it is worth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

_INTERRUPTED = 130  # what typer makes of Ctrl-C


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"qdllm {qdllm.__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line and exit: 0 done, 1 the work failed, 2 the request was wrong, 130 interrupted."""
    logging.captureWarnings(True)  # a library's warning is no output of ours
    try:
        status = app(standalone_mode=False)
    except QdllmError as error:
        fail(str(error), error.exit_status)
    except typer.TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        fail(f"{message.rstrip('.') or 'no command given'}; see qdllm --help", 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # the disk is full, or a folder stands where a file is to be written
        where = error.filename2 or error.filename or "a file"
        fail(f"{where}: cannot be read or written ({error.strerror or error})", 1)
    if status == _INTERRUPTED:
        fail("interrupted; the same command goes on where this one stopped", _INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)
