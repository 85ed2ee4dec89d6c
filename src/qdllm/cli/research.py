"""Commands that look closer: bench."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

import qdllm
from qdllm.cli.app import app
from qdllm.errors import ConfigError


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Which; a list of them without a name.")] = None,
) -> None:
    """Run a benchmark of the repository; options after NAME are its own."""
    folder = Path(qdllm.__file__).parents[2] / "benchmarks"
    scripts = {path.stem.replace("_", "-"): path for path in sorted(folder.glob("[!_]*.py"))}
    if not scripts:
        raise ConfigError("no benchmarks here: they come with the repository, installed by `make setup`")
    if name is None:
        for known, path in scripts.items():
            typer.echo(f"{known}: {ast.get_docstring(ast.parse(path.read_text()))!s}".split("\n")[0])
        return
    if name not in scripts:
        raise ConfigError(f"no benchmark {name!r}; there are {', '.join(scripts)}")
    raise typer.Exit(subprocess.run([sys.executable, scripts[name], *context.args], check=False).returncode)
