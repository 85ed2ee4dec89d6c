"""Commands for those who decide and those who run it: report, serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qdllm.cli.app import app
from qdllm.cli.options import AsJson, Quiet, RunArgument
from qdllm.cli.printing import log_to_stderr, print_json


@app.command()
def report(
    run: RunArgument,
    out: Annotated[Path, typer.Option(help="The HTML file; its figures go beside it as JSON.")] = Path(
        "report.html"
    ),
    lang: Annotated[str, typer.Option(help="en or ja.")] = "en",
    prices: Annotated[
        Path | None, typer.Option(help="TOML file of prices; assumed prices without it.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write one HTML file to decide by: verdict, figures, cost, risks, roadmap."""
    from qdllm import pipeline

    log_to_stderr(quiet)
    found = pipeline.report_run(run, out, language=lang, prices=prices, quiet=quiet)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"{out}: {found['verdict']['decision']}")


@app.command()
def serve(
    run: RunArgument,
    models: Annotated[
        str | None,
        typer.Option(help="Comma-separated: student, surrogate, teacher [student, and surrogate if made]."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.")] = 8000,
    quiet: Quiet = False,
) -> None:
    """Serve predictions over HTTP, with a page to try texts on. Ctrl-C stops it.

    Where the environment variable QDLLM_TOKEN is set, clients have to send it as bearer token.
    """
    from qdllm import pipeline

    log_to_stderr(quiet)
    names = None if models is None else [name.strip() for name in models.split(",") if name.strip()]
    pipeline.serve_run(run, models=names, host=host, port=port, quiet=quiet)
