"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "DATA",
    "ENDPOINT",
    "TEACHING",
    "TRAINING",
    "AsJson",
    "Charset",
    "ConfigFile",
    "CorpusData",
    "DataArgument",
    "EncoderSpec",
    "FeaturesFile",
    "GroupColumn",
    "LabelColumn",
    "LabelsFile",
    "LabelsPerClass",
    "Quiet",
    "RayAddress",
    "RunArgument",
    "Seed",
    "TeacherMode",
    "TeacherSpec",
    "TestData",
    "TextColumn",
    "data_section",
]

DATA, TRAINING, TEACHING = "Data", "Training", "Teacher and encoder"
ENDPOINT = "A server that teaches"

DataArgument = Annotated[
    str, typer.Argument(help="CSV, TSV, JSONL, Parquet, or a folder with one per class.")
]
RunArgument = Annotated[Path, typer.Argument(help="A run folder, or a saved student.")]
TextColumn = Annotated[
    str | None, typer.Option("--text", help="Column of texts [text].", rich_help_panel=DATA)
]
LabelColumn = Annotated[
    str | None, typer.Option("--label", help="Column of labels [label].", rich_help_panel=DATA)
]
GroupColumn = Annotated[
    str | None,
    typer.Option("--group", help="Column whose values never stand in two parts.", rich_help_panel=DATA),
]
Charset = Annotated[
    str | None,
    typer.Option("--encoding", help="Character encoding: utf-8, cp932, … [utf-8].", rich_help_panel=DATA),
]
TestData = Annotated[
    str | None, typer.Option("--test", help="A file of test rows of its own.", rich_help_panel=DATA)
]
LabelsPerClass = Annotated[
    int | None,
    typer.Option(
        "--labels-per-class",
        help="Hide all but this many labels a class from teacher and student.",
        rich_help_panel=DATA,
    ),
]
TeacherSpec = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        help="smollm2, a Hugging Face path or name, http(s)://… of a server, a Parquet of probabilities, "
        "some joined by +, or none [smollm2].",
        rich_help_panel=TEACHING,
    ),
]
TeacherMode = Annotated[
    str | None,
    typer.Option(
        "--mode", help="auto, zero-shot, few-shot, probe or classifier [auto].", rich_help_panel=TEACHING
    ),
]
EncoderSpec = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        help="minilm, tfidf, ngrams, a Hugging Face path or name, NAME@LAYER, or some joined by + [minilm].",
        rich_help_panel=TEACHING,
    ),
]
LabelsFile = Annotated[
    str | None, typer.Option("--labels", help="Soft labels made by `label`.", rich_help_panel=TEACHING)
]
FeaturesFile = Annotated[
    str | None, typer.Option("--features", help="Features made by `embed`.", rich_help_panel=TEACHING)
]
CorpusData = Annotated[
    str | None,
    typer.Option("--corpus", help="Any number of texts, in the place of DATA, which it is fitted to."),
]
RayAddress = Annotated[
    str | None, typer.Option("--ray", help="Share the work out to a Ray cluster: auto, local or HOST:PORT.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seeds every random choice [0].")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML; options go before it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars or messages.")]


def data_section(
    path: str,
    test: str | None,
    text: str | None,
    label_column: str | None,
    group: str | None,
    encoding: str | None,
    labels_per_class: int | None,
) -> dict[str, Any]:
    """Gather the options of the data section of a `RunConfig`."""
    return {
        "path": path,
        "test": test,
        "text": text,
        "label": label_column,
        "group": group,
        "charset": encoding,
        "labels_per_class": labels_per_class,
    }
