"""What commands print, and where messages go."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Column, Table

from qdllm.errors import QdllmError
from qdllm.progress import silence

__all__ = [
    "errors_in_one_line",
    "fail",
    "log_to_stderr",
    "print_comparison",
    "print_json",
    "print_metrics",
    "print_report",
    "shorten",
]


def fail(message: str, status: int) -> NoReturn:
    """End the process with one line on standard error."""
    print(f"qdllm: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    sys.exit(status)


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """End the process at an error of ours: what is wrong in one line, and the error's exit status."""
    try:
        yield
    except QdllmError as error:
        fail(str(error), error.exit_status)


def log_to_stderr(quiet: bool) -> None:
    """Send messages to standard error; none, and no progress bars, if quiet."""
    logger = logging.getLogger("qdllm")
    logger.handlers = [RichHandler(console=Console(stderr=True), show_path=False, show_level=False)]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    if quiet:
        silence()


def print_json(value: Any) -> None:
    """Print JSON on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False))


def print_report(report: dict[str, Any], *, as_json: bool) -> None:
    """Print names and values, as a table or JSON."""
    if as_json:
        print_json(report)
        return
    table = Table("", "", show_header=False)
    for name, value in report.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else str(value))
    Console().print(table)


def print_metrics(metrics: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    """Print what a run is worth, as a table or JSON."""
    if as_json:
        print_json(metrics)
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


def print_comparison(found: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    """Print who wins and by how much, as a table or JSON."""
    if as_json:
        print_json(found)
        return
    from qdllm.compare import in_points, verdict

    table = Table(*(Column(name, no_wrap=True) for name in ("model", "test [95 %]", "student − model", "p")))
    differences = {entry["minus"]: entry for entry in found["differences"]}
    for name, about in found["contenders"].items():
        summary, entry = about["summary"], differences.get(name)
        if not summary:
            table.add_row(name, "failed")
            continue
        accuracy = summary["accuracy"]
        table.add_row(
            name,
            "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * accuracy[key] for key in ("mean", "low", "high"))),
            "" if entry is None else in_points(entry),
            "" if entry is None else f"{entry['p_holm']:.3f}",
        )
    for entry in found["skipped"]:
        table.add_row(entry["contender"], "skipped")
    console = Console()
    console.print(table)
    console.print(verdict(found))
    console.print(f"All of it is in {folder}/compare.md.")


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


def shorten(text: str, width: int = 80) -> str:
    """Put a text on one line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
