"""`qdllm report`: a finished run as one HTML file, and its figures as JSON beside it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import qdllm
from qdllm.data import DuplicateReport
from qdllm.errors import ConfigError, DataError
from qdllm.files import read_versioned, write_json, write_text
from qdllm.pages import Catalogue
from qdllm.pipeline.config import RunConfig
from qdllm.pipeline.run_folder import RunFolder
from qdllm.pipeline.sources import load_texts
from qdllm.pipeline.timing import time_run
from qdllm.report import (
    PRICES,
    TEXTS,
    Evidence,
    Predictions,
    Prices,
    make_figures,
    read_devices,
    read_surrogate,
    render,
)
from qdllm.student import Student

__all__ = ["report_run"]


def report_run(
    path: str | Path,
    out: str | Path,
    *,
    language: str = "en",
    prices: str | Path | None = None,
    date: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Write the report of a run, and every number in it as JSON beside it.

    The first report of a run also measures how long a text takes its teacher, student and surrogate, and
    keeps that in the run.

    Parameters
    ----------
    path : path
        A finished run.
    out : path
        The HTML file; the JSON file has the same name, and ends in .json.
    language : {"en", "ja"}
    prices : path, optional
        A TOML file of prices; `qdllm.report.PRICES` by default, which the report calls assumptions.
    date : str, optional
        Today by default.
    quiet : bool
        Show no progress bars.

    Returns
    -------
    dict
        What the JSON file holds.

    Raises
    ------
    SavedModelError
        If the run has not finished, or its student cannot be loaded.
    DataError
        If a file of the run cannot be read.
    ConfigError
        If there is no such language, or a price cannot be used.
    """
    run, page = RunFolder(path), Path(out)
    if page.suffix == ".json":
        raise ConfigError(f"{page}: the report is HTML, and its figures go into {page}; give another --out")
    run.read_metrics()
    Catalogue(TEXTS, language)
    priced = Prices.read(Path(prices or PRICES))
    student = Student.from_pretrained(run.student)
    found = make_figures(
        gather(run, quiet=quiet),
        student,
        priced,
        assumed_prices=prices is None,
        version=qdllm.__version__,
        date=date or datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    )
    write_json(page.with_suffix(".json"), found)
    write_text(page, render(found, student.model_.circuit, language))
    return found


def gather(run: RunFolder, *, quiet: bool = False) -> Evidence:
    """Read the parts of a run; what was not made is None."""
    metrics = run.read_metrics()
    config = RunConfig.from_toml(run.config, {})
    predictions = Predictions.read(run.predictions, tuple(metrics["classes"]))
    texts, duplicates = _texts(config, predictions)
    compared = run.path / "compare.json"
    return Evidence(
        name=run.path.resolve().name,
        student=run.student,
        metrics=metrics,
        config=config.model_dump(mode="json"),
        predictions=predictions,
        texts=texts,
        duplicates=duplicates,
        compare=read_versioned(compared, "qdllm.compare") if compared.is_file() else None,
        devices=read_devices(run.devices),
        surrogate=read_surrogate(run.surrogate),
        timing=time_run(run, quiet=quiet),
    )


def _texts(
    config: RunConfig, predictions: Predictions
) -> tuple[dict[str, str] | None, DuplicateReport | None]:
    """Read the run's texts again by row_id; None where they are gone or others by now."""
    try:
        found = load_texts(config.data, config.seed)
    except DataError:
        return None, None
    texts = dict(zip(found.dataset.row_ids, found.dataset.texts, strict=True))
    if not texts.keys() >= set(predictions.row_ids):
        return None, None
    return texts, found.duplicates
