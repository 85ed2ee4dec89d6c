"""Commands that use a student: predict, evaluate, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from qdllm.cli.app import app
from qdllm.cli.options import (
    AsJson,
    Charset,
    DataArgument,
    LabelColumn,
    Quiet,
    RayAddress,
    RunArgument,
    TextColumn,
)
from qdllm.cli.printing import print_json, print_report, shorten
from qdllm.errors import ConfigError


@app.command()
def predict(
    run: RunArgument,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to classify.", metavar="[TEXT]…")] = None,
    input_data: Annotated[str | None, typer.Option("--input", help="Texts from a file or folder.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write Parquet in place of printing; a folder of it without .parquet.")
    ] = None,
    text: TextColumn = None,
    encoding: Charset = None,
    ray: RayAddress = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Classify texts."""
    from qdllm import pipeline
    from qdllm.data import Corpus, TextDataset, read_dataset

    if (texts is None) == (input_data is None):
        raise ConfigError("give either TEXT arguments or --input DATA")
    if out is not None:
        if input_data is None:
            raise ConfigError("--out is for --input DATA; TEXT arguments are printed")
        corpus = Corpus(input_data, text=text or "text", encoding=encoding or "utf-8")
        rows = pipeline.predict_corpus(run, corpus, out, ray=ray, quiet=quiet)
        print_report({"rows": rows, "out": str(out)}, as_json=as_json)
        return
    if input_data is not None:
        dataset = read_dataset(input_data, text=text or "text", encoding=encoding or "utf-8")
    else:
        dataset = TextDataset.from_lists(texts or [], name="the TEXT arguments")
    predictions = pipeline.predict(run, dataset.texts)
    if as_json:
        print_json(predictions)
        return
    table = Table("label", "probability", "text")
    for row in predictions:
        table.add_row(row["label"], f"{row['proba'][row['label']]:.3f}", shorten(row["text"]))
    Console().print(table)


@app.command()
def evaluate(
    run: RunArgument,
    data: DataArgument,
    labels: Annotated[str | None, typer.Option(help="The teacher's soft labels of these rows.")] = None,
    text: TextColumn = None,
    label_column: LabelColumn = None,
    encoding: Charset = None,
    as_json: AsJson = False,
) -> None:
    """Score a student on labelled rows."""
    from qdllm import pipeline
    from qdllm.data import read_dataset

    dataset = read_dataset(
        data,
        text=text or "text",
        label=label_column or "label",
        encoding=encoding or "utf-8",
        require_labels=True,
    )
    print_report(pipeline.evaluate(run, dataset, labels), as_json=as_json)


@app.command()
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    format_name: Annotated[
        Literal["qasm3", "qasm2", "onnx", "numpy", "c", "python"],
        typer.Option("--format", help="The circuit as OpenQASM, or its formula for other tools."),
    ] = "qasm3",
    text: Annotated[
        str | None, typer.Option(help="OpenQASM: bind the inputs to the angles of this text.")
    ] = None,
    max_error: Annotated[
        float | None, typer.Option(help="A formula: how far a logit may be from the student's [0.01].")
    ] = None,
) -> None:
    """Write the trained circuit, or its formula, for other tools."""
    from qdllm import pipeline

    match format_name:
        case "qasm3" | "qasm2":
            if max_error is not None:
                raise ConfigError("--max-error is of formulas; a circuit in OpenQASM is exact")
            note = pipeline.export_qasm(run, int(format_name[-1]), out, text)
        case _:
            if text is not None:
                raise ConfigError("--text binds the inputs of a circuit; leave it out for a formula")
            note = pipeline.export_formula(run, format_name, out, 0.01 if max_error is None else max_error)
    typer.echo(f"{out}: {note}")
