"""The command that makes a teacher: teach."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError

from qdllm.cli.app import app
from qdllm.cli.options import (
    TRAINING,
    AsJson,
    Charset,
    DataArgument,
    GroupColumn,
    LabelColumn,
    LabelsPerClass,
    Quiet,
    Seed,
    TestData,
    TextColumn,
    data_section,
)
from qdllm.cli.printing import log_to_stderr, print_json, print_report
from qdllm.errors import ConfigError


@app.command()
def teach(
    data: DataArgument,
    model: Annotated[str, typer.Option(help="A causal language model or an encoder, by path or name.")],
    out: Annotated[Path, typer.Option(help="The folder of the taught model: a --teacher from then on.")],
    test: TestData = None,
    text: TextColumn = None,
    label_column: LabelColumn = None,
    group: GroupColumn = None,
    encoding: Charset = None,
    labels_per_class: LabelsPerClass = None,
    rank: Annotated[
        int | None, typer.Option(help="Rank of the adapters [16].", rich_help_panel=TRAINING)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the rows, at most [3].", rich_help_panel=TRAINING)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Largest step [0.0003].", rich_help_panel=TRAINING)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows a step [32].", rich_help_panel=TRAINING)
    ] = None,
    step_tokens: Annotated[
        int | None,
        typer.Option(help="Tokens computed at once, for memory [1024].", rich_help_panel=TRAINING),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Looks, two an epoch, without a better loss [3].", rich_help_panel=TRAINING),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="A text is cut after so many [256].", rich_help_panel=TRAINING)
    ] = None,
    weights: Annotated[
        Literal["auto", "8-bit", "16-bit"],
        typer.Option(help="Of the frozen model.", rich_help_panel=TRAINING),
    ] = "auto",
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a language model into a teacher, by LoRA. Ctrl-C is safe: the same command goes on."""
    from qdllm import pipeline
    from qdllm.teachers import TuningSettings

    log_to_stderr(quiet)
    chosen = {
        "rank": rank,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "step_tokens": step_tokens,
        "patience": patience,
        "max_tokens": max_tokens,
        "weights": weights,
    }
    try:
        settings = TuningSettings.model_validate({k: v for k, v in chosen.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{first['loc'][0]}: {first['msg']} (got {first['input']!r})") from error
    section = data_section(data, test, text, label_column, group, encoding, labels_per_class)
    config = pipeline.RunConfig.from_toml(None, {"seed": seed, "data": section})
    report = pipeline.teach(config.data, model, out, settings, seed=config.seed, quiet=quiet)
    if as_json:
        print_json(report)
        return
    best = report["best"]
    print_report(
        {
            "base": report["base"],
            "rows": report["rows"],
            "trained parameters": f"{report['trained_parameters']:,}",
            "steps to the best": best["step"],
            "validation accuracy": best["accuracy"],
            "validation loss": best["loss"],
            "out": f"{out}: use it as --teacher {out}",
        },
        as_json=False,
    )
