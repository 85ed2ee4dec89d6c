"""`qdllm compile`: a student as a classical formula."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from qdllm.cli.app import app
from qdllm.cli.options import AsJson, Charset, RunArgument, TextColumn
from qdllm.cli.printing import print_json


@app.command(name="compile")
def compile_(
    run: RunArgument,
    max_error: Annotated[
        float, typer.Option(help="How far a logit may be from the student's, at any angles.")
    ] = 0.01,
    out: Annotated[Path | None, typer.Option(help="The folder to write [RUN/surrogate].")] = None,
    data: Annotated[str | None, typer.Option(help="Texts to compare both on [the run's test rows].")] = None,
    text: TextColumn = None,
    encoding: Charset = None,
    as_json: AsJson = False,
) -> None:
    """Turn the student into a small classical formula with a proven error."""
    from qdllm import pipeline
    from qdllm.data import read_dataset

    texts = None
    if data is not None:
        texts = read_dataset(data, text=text or "text", encoding=encoding or "utf-8")
    found = pipeline.compile_run(run, out, max_error, texts)
    if not found["certificate"]["met"]:
        typer.echo(
            f"no form keeps an error of {max_error:g}: this is the closest, with "
            f"{found['certificate']['max_error']:.3g}",
            err=True,
        )
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    certificate, check, encoder = found["certificate"], found["certificate"]["check"], found["encoder_bytes"]
    what = "terms a class" if found["form"] == "sparse" else "numbers of a tensor train"
    table = Table("", "", show_header=False)
    table.add_row("formula", f"{found['terms']:,} {what}, {found['precision']}")
    table.add_row("bytes of the formula", f"{found['bytes']:,}")
    table.add_row("… of the projection", f"{found['projection_bytes']:,}")
    table.add_row("… of the encoder", "not known" if encoder is None else f"{encoder:,}")
    table.add_row("proven: a logit differs by at most", f"{certificate['max_error']:.3g}")
    if check:
        table.add_row(f"seen on {check['rows']:,} texts: at most", f"{check['max_error']:.3g}")
        table.add_row("the same class", f"{100 * check['agreement']:.2f} %")
        table.add_row("provably the same class", f"{100 * check['certified']:.1f} %")
    Console().print(table)
    typer.echo(f"It is in {found['out']}.")
