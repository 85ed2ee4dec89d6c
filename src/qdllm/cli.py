"""The command line: parses, calls, prints."""

from __future__ import annotations

import ast
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Column, Table

import qdllm
from qdllm.errors import ConfigError, QdllmError
from qdllm.progress import silence

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
_DATA, _TRAINING, _TEACHING = "Data", "Training", "Teacher and encoder"

DataArgument = Annotated[
    str, typer.Argument(help="CSV, TSV, JSONL, Parquet, or a folder with one per class.")
]
RunArgument = Annotated[Path, typer.Argument(help="A run folder, or a saved student.")]
TextColumn = Annotated[
    str | None, typer.Option("--text", help="Column of texts [text].", rich_help_panel=_DATA)
]
LabelColumn = Annotated[
    str | None, typer.Option("--label", help="Column of labels [label].", rich_help_panel=_DATA)
]
GroupColumn = Annotated[
    str | None,
    typer.Option("--group", help="Column whose values never stand in two parts.", rich_help_panel=_DATA),
]
Charset = Annotated[
    str | None,
    typer.Option("--encoding", help="Character encoding: utf-8, cp932, … [utf-8].", rich_help_panel=_DATA),
]
TestData = Annotated[
    str | None, typer.Option("--test", help="A file of test rows of its own.", rich_help_panel=_DATA)
]
LabelsPerClass = Annotated[
    int | None,
    typer.Option(
        "--labels-per-class",
        help="Hide all but this many labels a class from teacher and student.",
        rich_help_panel=_DATA,
    ),
]
TeacherSpec = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        help="smollm2, a Hugging Face path or name, a Parquet of probabilities, or none [smollm2].",
        rich_help_panel=_TEACHING,
    ),
]
TeacherMode = Annotated[
    str | None,
    typer.Option(
        "--mode", help="auto, zero-shot, few-shot, probe or classifier [auto].", rich_help_panel=_TEACHING
    ),
]
EncoderSpec = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        help="minilm, tfidf, a Hugging Face path or name, NAME@LAYER, or several joined by + [minilm].",
        rich_help_panel=_TEACHING,
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seeds every random choice [0].")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML; options go before it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars or messages.")]


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(f"qdllm {qdllm.__version__}")
        raise typer.Exit


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
    """Go the whole way on real data: fetch, label, encode, distil, compare."""
    from qdllm import pipeline

    folder = out or Path("runs") / f"demo-{task}"
    _log_to_stderr(quiet)
    metrics = pipeline.demo(task, folder, seed=seed, quiet=quiet)
    _print_metrics(metrics, folder, as_json=as_json)


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
    config: ConfigFile = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Let a teacher give every text its class probabilities. Resumable."""
    from qdllm import pipeline

    _log_to_stderr(quiet)
    settings = pipeline.RunConfig.from_toml(
        config,
        {
            "seed": seed,
            "data": _data_section(data, test, text, label_column, group, encoding, labels_per_class),
            "teacher": {"source": teacher, "mode": mode},
        },
    ).without_files()
    texts = pipeline.load_texts(settings.data, settings.seed)
    labels = pipeline.label_texts(settings, texts)
    if labels is None:
        raise ConfigError("label needs a --teacher")
    labels.write(out)
    report = {"rows": len(labels.row_ids), "classes": list(labels.classes), **labels.meta, "out": str(out)}
    _print_report(report, as_json=as_json)


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
    config: ConfigFile = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Turn every text into a feature vector. Resumable."""
    from qdllm import pipeline

    _log_to_stderr(quiet)
    settings = pipeline.RunConfig.from_toml(
        config,
        {
            "seed": seed,
            "data": _data_section(data, test, text, label_column, group, encoding, None),
            "encoder": {"source": encoder},
        },
    ).without_files()
    texts = pipeline.load_texts(settings.data, settings.seed)
    width = pipeline.embed_texts(settings, texts, out)
    report = {
        "rows": len(texts.dataset),
        "features": width,
        "encoder": settings.encoder.source,
        "out": str(out),
    }
    _print_report(report, as_json=as_json)


@app.command()
def distill(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="The run folder.")],
    teacher: TeacherSpec = None,
    mode: TeacherMode = None,
    encoder: EncoderSpec = None,
    labels: Annotated[
        str | None, typer.Option(help="Soft labels made by `label`.", rich_help_panel=_TEACHING)
    ] = None,
    features: Annotated[
        str | None, typer.Option(help="Features made by `embed`.", rich_help_panel=_TEACHING)
    ] = None,
    test: TestData = None,
    text: TextColumn = None,
    label_column: LabelColumn = None,
    group: GroupColumn = None,
    encoding: Charset = None,
    labels_per_class: LabelsPerClass = None,
    qubits: Annotated[
        int | None, typer.Option(help="Number of qubits [11].", rich_help_panel=_TRAINING)
    ] = None,
    layers: Annotated[
        int | None, typer.Option(help="Number of ansatz layers [2].", rich_help_panel=_TRAINING)
    ] = None,
    angles: Annotated[
        str | None,
        typer.Option(help="From features to angles: linear, tanh, minmax, auto.", rich_help_panel=_TRAINING),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Weight of the teacher [0.5].", rich_help_panel=_TRAINING)
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Softening in the KL term [2].", rich_help_panel=_TRAINING)
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the rows [30, on few rows more].", rich_help_panel=_TRAINING),
    ] = None,
    config: ConfigFile = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Distil a teacher into a student of a few qubits. Ctrl-C is safe: the same command goes on."""
    from qdllm import pipeline

    _log_to_stderr(quiet)
    settings = pipeline.RunConfig.from_toml(
        config,
        {
            "seed": seed,
            "data": _data_section(data, test, text, label_column, group, encoding, labels_per_class),
            "teacher": {"source": teacher, "mode": mode, "labels": labels},
            "encoder": {"source": encoder, "features": features},
            "student": {
                "n_qubits": qubits,
                "n_layers": layers,
                "encoding": angles,
                "alpha": alpha,
                "temperature": temperature,
                "epochs": epochs,
            },
        },
    )
    metrics = pipeline.distill(settings, out, quiet=quiet)
    _print_metrics(metrics, out, as_json=as_json)


@app.command()
def predict(
    run: RunArgument,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to classify.", metavar="[TEXT]…")] = None,
    input_data: Annotated[str | None, typer.Option("--input", help="Texts from a file or folder.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write Parquet in place of printing.")] = None,
    text: TextColumn = None,
    encoding: Charset = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Classify texts."""
    from qdllm import pipeline
    from qdllm.data import TextDataset, read_dataset

    if (texts is None) == (input_data is None):
        raise ConfigError("give either TEXT arguments or --input DATA")
    if input_data is not None:
        dataset = read_dataset(input_data, text=text or "text", encoding=encoding or "utf-8")
    else:
        dataset = TextDataset.from_lists(texts or [], name="the TEXT arguments")
    if out is not None:
        rows = pipeline.write_predictions(run, dataset, out, quiet=quiet)
        _print_report({"rows": rows, "out": str(out)}, as_json=as_json)
        return
    predictions = pipeline.predict(run, dataset.texts)
    if as_json:
        _print_json(predictions)
        return
    table = Table("label", "probability", "text")
    for row in predictions:
        table.add_row(row["label"], f"{row['proba'][row['label']]:.3f}", _shorten(row["text"]))
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
    _print_report(pipeline.evaluate(run, dataset, labels), as_json=as_json)


@app.command()
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    format_name: Annotated[
        Literal["qasm3", "qasm2"], typer.Option("--format", help="What to write.")
    ] = "qasm3",
    text: Annotated[str | None, typer.Option(help="Bind the inputs to the angles of this text.")] = None,
) -> None:
    """Write the trained circuit for other tools."""
    from qdllm import pipeline

    note = pipeline.export_qasm(run, int(format_name[-1]), out, text)
    typer.echo(f"{out}: {note}")


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


def main() -> None:
    """Run the command line and exit: 0 done, 1 the work failed, 2 the request was wrong, 130 interrupted."""
    logging.captureWarnings(True)  # a library's warning is no output of ours
    try:
        status = app(standalone_mode=False)
    except QdllmError as error:
        _fail(str(error), error.exit_status)
    except typer.TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        _fail(f"{message.rstrip('.') or 'no command given'}; see qdllm --help", 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # the disk is full, or a folder stands where a file is to be written
        where = error.filename2 or error.filename or "a file"
        _fail(f"{where}: cannot be read or written ({error.strerror or error})", 1)
    if status == _INTERRUPTED:
        _fail("interrupted; the same command goes on where this one stopped", _INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> None:
    line = " ".join(message.split())
    print(f"qdllm: {line}", file=sys.stderr)  # noqa: T201
    sys.exit(status)


def _log_to_stderr(quiet: bool) -> None:
    logger = logging.getLogger("qdllm")
    logger.handlers = [RichHandler(console=Console(stderr=True), show_path=False, show_level=False)]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    if quiet:
        silence()


def _data_section(
    path: str,
    test: str | None,
    text: str | None,
    label_column: str | None,
    group: str | None,
    encoding: str | None,
    labels_per_class: int | None,
) -> dict[str, Any]:
    return {
        "path": path,
        "test": test,
        "text": text,
        "label": label_column,
        "group": group,
        "charset": encoding,
        "labels_per_class": labels_per_class,
    }


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False))


def _print_report(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(report)
        return
    table = Table("", "", show_header=False)
    for name, value in report.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console().print(table)


def _print_metrics(metrics: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    if as_json:
        _print_json(metrics)
        return
    table = Table(
        Column("accuracy in percent", no_wrap=True),
        "validation",
        Column("test [95 %]", no_wrap=True),
        "F1",
        "as teacher",
        caption=f"{metrics['rows']['test']} test rows, seen by no training and no choice",
    )
    if metrics["teacher"] is not None:
        about = metrics["teacher"]["about"]
        _add_row(table, f"teacher: {about.get('teacher', '')} {about.get('mode', '')}", metrics["teacher"])
    for name, found in metrics["students"].items():
        chosen = " (chosen)" if name == metrics["chosen_encoding"] and len(metrics["students"]) > 1 else ""
        _add_row(table, f"student, {name}{chosen}", found)
    for name, found in metrics["controls"].items():
        if found is not None:
            _add_row(table, name.replace("_", " "), found)
    console = Console()
    console.print(table)
    counts = metrics["parameters"]
    extra = "encoder not known" if counts["encoder"] is None else f"{counts['inference']:,} with its encoder"
    console.print(
        f"The student has {counts['trained']:,} trained parameters; {extra}. It is in {folder}/student."
    )


def _add_row(table: Table, name: str, found: dict[str, Any]) -> None:
    validation, test = found["validation"] or {}, found["test"] or {}
    accuracy = "not measured"
    if "accuracy" in test:
        low, high = 100 * test["accuracy_low"], 100 * test["accuracy_high"]
        accuracy = f"{100 * test['accuracy']:.1f} [{low:.1f}, {high:.1f}]"
    table.add_row(
        name,
        f"{100 * validation['accuracy']:.1f}" if "accuracy" in validation else "",
        accuracy,
        f"{100 * test['f1_weighted']:.1f}" if "f1_weighted" in test else "",
        f"{100 * test['agreement_with_teacher']:.1f}" if "agreement_with_teacher" in test else "",
    )


def _shorten(text: str, width: int = 80) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
