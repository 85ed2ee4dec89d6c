"""Commands that make a student: fetch, demo, label, embed, distill."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from qdllm.cli.app import app
from qdllm.cli.options import (
    ENDPOINT,
    TRAINING,
    AsJson,
    Charset,
    ConfigFile,
    CorpusData,
    DataArgument,
    EncoderSpec,
    FeaturesFile,
    GroupColumn,
    LabelColumn,
    LabelsFile,
    LabelsPerClass,
    Quiet,
    RayAddress,
    Seed,
    TeacherMode,
    TeacherSpec,
    TestData,
    TextColumn,
    data_section,
)
from qdllm.cli.printing import log_to_stderr, print_metrics, print_report
from qdllm.errors import ConfigError

if TYPE_CHECKING:
    from qdllm.data import Corpus
    from qdllm.pipeline import RunConfig


@app.command()
def fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Assets; all of them without a name.")] = None,
    quiet: Quiet = False,
) -> None:
    """Bring the pinned models and data sets into the cache, hashes checked."""
    from qdllm import data

    for name in names or list(data.ASSETS):
        typer.echo(f"{name}: {data.fetch(name, quiet=quiet)}")


@app.command()
def demo(
    task: Annotated[Literal["reviews", "news", "spam"], typer.Option(help="Which real data.")] = "reviews",
    out: Annotated[Path | None, typer.Option(help="The run folder [runs/demo-TASK].")] = None,
    seed: Annotated[int, typer.Option(help="Seeds every random choice.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Go the whole way on real data: fetch, label, encode, distil, report."""
    from qdllm import pipeline

    folder = out or Path("runs") / f"demo-{task}"
    log_to_stderr(quiet)
    metrics = pipeline.demo(task, folder, seed=seed, quiet=quiet)
    print_metrics(metrics, folder, as_json=as_json)
    if not as_json:
        typer.echo(f"The report is {folder / pipeline.REPORT}.")


@app.command()
def label(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Parquet of soft labels.")],
    teacher: TeacherSpec = None,
    mode: TeacherMode = None,
    test: TestData = None,
    text: TextColumn = None,
    label_column: LabelColumn = None,
    group: GroupColumn = None,
    encoding: Charset = None,
    labels_per_class: LabelsPerClass = None,
    model: Annotated[
        str | None, typer.Option(help="The server's name of the model.", rich_help_panel=ENDPOINT)
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Money that is never passed.", rich_help_panel=ENDPOINT)
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(help="Tokens that are never passed.", rich_help_panel=ENDPOINT)
    ] = None,
    price_in: Annotated[
        float | None, typer.Option(help="Price of a million prompt tokens [0].", rich_help_panel=ENDPOINT)
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(help="Price of a million answered tokens [0].", rich_help_panel=ENDPOINT)
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Requests under way at once [8].", rich_help_panel=ENDPOINT)
    ] = None,
    corpus: CorpusData = None,
    ray: RayAddress = None,
    config: ConfigFile = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Let a teacher give every text its class probabilities. Resumable."""
    from qdllm import pipeline

    log_to_stderr(quiet)
    settings = pipeline.RunConfig.from_toml(
        config,
        {
            "seed": seed,
            "data": data_section(data, test, text, label_column, group, encoding, labels_per_class),
            "teacher": {
                "source": teacher,
                "mode": mode,
                "endpoint": {
                    "model": model,
                    "budget": budget,
                    "budget_tokens": budget_tokens,
                    "price_in": price_in,
                    "price_out": price_out,
                    "concurrency": concurrency,
                },
            },
        },
    ).without_files()
    texts = pipeline.load_texts(settings.data, settings.seed)
    if corpus is not None:
        rows = pipeline.label_corpus(
            settings, texts, _open_corpus(corpus, settings), out, ray=ray, quiet=quiet
        )
        print_report({"rows": rows, "out": str(out)}, as_json=as_json)
        return
    labels = pipeline.label_texts(settings, texts)
    if labels is None:
        raise ConfigError("label needs a --teacher")
    labels.write(out)
    report = {"rows": len(labels.row_ids), "classes": list(labels.classes), **labels.meta, "out": str(out)}
    print_report(report, as_json=as_json)


@app.command()
def embed(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Parquet of features.")],
    encoder: EncoderSpec = None,
    test: TestData = None,
    text: TextColumn = None,
    label_column: LabelColumn = None,
    group: GroupColumn = None,
    encoding: Charset = None,
    corpus: CorpusData = None,
    ray: RayAddress = None,
    config: ConfigFile = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Turn every text into a feature vector. Resumable."""
    from qdllm import pipeline

    log_to_stderr(quiet)
    settings = pipeline.RunConfig.from_toml(
        config,
        {
            "seed": seed,
            "data": data_section(data, test, text, label_column, group, encoding, None),
            "encoder": {"source": encoder},
        },
    ).without_files()
    texts = pipeline.load_texts(settings.data, settings.seed)
    if corpus is not None:
        rows = pipeline.embed_corpus(
            settings, texts, _open_corpus(corpus, settings), out, ray=ray, quiet=quiet
        )
        print_report({"rows": rows, "out": str(out)}, as_json=as_json)
        return
    width = pipeline.embed_texts(settings, texts, out)
    report = {
        "rows": len(texts.dataset),
        "features": width,
        "encoder": settings.encoder.source,
        "out": str(out),
    }
    print_report(report, as_json=as_json)


@app.command()
def distill(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="The run folder.")],
    teacher: TeacherSpec = None,
    mode: TeacherMode = None,
    encoder: EncoderSpec = None,
    labels: LabelsFile = None,
    features: FeaturesFile = None,
    test: TestData = None,
    text: TextColumn = None,
    label_column: LabelColumn = None,
    group: GroupColumn = None,
    encoding: Charset = None,
    labels_per_class: LabelsPerClass = None,
    qubits: Annotated[
        int | None, typer.Option(help="Number of qubits [11].", rich_help_panel=TRAINING)
    ] = None,
    layers: Annotated[
        int | None, typer.Option(help="Number of ansatz layers [2].", rich_help_panel=TRAINING)
    ] = None,
    ansatz: Annotated[
        str | None,
        typer.Option(help="Circuit: see `inspect` [qd_llm].", rich_help_panel=TRAINING),
    ] = None,
    angles: Annotated[
        str | None,
        typer.Option(help="From features to angles: linear, tanh, minmax, auto.", rich_help_panel=TRAINING),
    ] = None,
    readout: Annotated[
        str | None, typer.Option(help="What is measured: z, zz, strings [z].", rich_help_panel=TRAINING)
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Weight of the teacher [0.5].", rich_help_panel=TRAINING)
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Softening in the KL term [2].", rich_help_panel=TRAINING)
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the rows [30, on few rows more].", rich_help_panel=TRAINING),
    ] = None,
    config: ConfigFile = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Distil a teacher into a student of a few qubits. Ctrl-C is safe: the same command goes on."""
    from qdllm import pipeline

    log_to_stderr(quiet)
    settings = pipeline.RunConfig.from_toml(
        config,
        {
            "seed": seed,
            "data": data_section(data, test, text, label_column, group, encoding, labels_per_class),
            "teacher": {"source": teacher, "mode": mode, "labels": labels},
            "encoder": {"source": encoder, "features": features},
            "student": {
                "n_qubits": qubits,
                "n_layers": layers,
                "ansatz": ansatz,
                "encoding": angles,
                "readout": readout,
                "alpha": alpha,
                "temperature": temperature,
                "epochs": epochs,
            },
        },
    )
    metrics = pipeline.distill(settings, out, quiet=quiet)
    print_metrics(metrics, out, as_json=as_json)


def _open_corpus(path: str, settings: RunConfig) -> Corpus:
    from qdllm.data import Corpus

    return Corpus(path, text=settings.data.text, encoding=settings.data.charset)
