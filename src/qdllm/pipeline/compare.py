"""`qdllm compare`: the student of a run beside controls and baselines, on splits of the same rows."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qdllm.compare import (
    BATCHES,
    Contender,
    Workers,
    available_cores,
    best_time,
    compare,
    controls,
    one_thread,
    select,
    write_comparison,
)
from qdllm.compare.baselines import baselines
from qdllm.compare.comparison import part_runnable
from qdllm.encoders import Encoder, load_encoder
from qdllm.errors import ConfigError, QdllmError, RequestError, reason_of
from qdllm.files import read_json, write_json
from qdllm.pipeline.cluster import ClusterWorkers
from qdllm.pipeline.config import RunConfig
from qdllm.pipeline.run_folder import RunFolder
from qdllm.pipeline.sources import load_texts
from qdllm.pipeline.splits import make_task
from qdllm.progress import progress
from qdllm.student.text import ENCODER_FOLDER
from qdllm.teachers import asks_endpoint

__all__ = ["compare_run"]

_log = logging.getLogger(__name__)

GROUPS = ("controls", "baselines")
_MOST_WORKERS = 8  # each holds a copy of the data, and half a gigabyte of libraries
_SINGLE_TEXTS = 16  # texts encoded one by one, where that is timed


def compare_run(
    path: str | Path,
    *,
    seeds: int = 5,
    budget: int = 4,
    groups: Sequence[str] = ("controls",),
    only: Sequence[str] = (),
    models: Sequence[str] = (),
    rows: int | None = None,
    workers: int | None = None,
    ray: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compare the student of a run with other models, and write compare.json, .parquet, .md and plots.

    Parameters
    ----------
    path : path
        A finished run.
    seeds : int
        Splits, at least 1; the first is the run's own (see `make_task`).
    budget : int
        Settings that each model may try, at least 1; at most 2 where a transformer is tuned on a CPU.
    groups : sequence of {"controls", "baselines"}
        What to compare with.
    only : sequence of str
        Names of models, in the place of groups.
    models : sequence of str
        Hugging Face models to fine-tune beside whatever else is compared, by path or name.
    rows : int, optional
        Train every model on at most so many rows; at most 2,000 where a transformer is tuned on a CPU.
    workers : int, optional
        Processes; as many as there are cores by default, at most 8. Results do not depend on it.
    ray : str, optional
        Fit on a Ray cluster instead: "auto", "local" or HOST:PORT. All its machines see the run's folder.
    quiet : bool
        Show no progress bars.

    Returns
    -------
    dict
        What compare.json holds.

    Raises
    ------
    SavedModelError
        If the run has not finished.
    DataError
        If its data have changed, no test row has a label, or nothing is known of validation rows.
    ConfigError
        If an option is out of range, there is no group or model of a name, or the run's encoder was trained
        together with the student.
    """
    run = RunFolder(path)
    metrics = run.read_metrics()
    for name, value in (("seeds", seeds), ("budget", budget), ("rows", rows), ("workers", workers)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}: it must be at least 1")
    if ray is not None and workers is not None:
        raise ConfigError(
            "workers are processes of this machine, and a cluster has its own: give one of the two"
        )
    config = RunConfig.from_toml(run.config, {})
    if config.encoder.is_trained:
        raise ConfigError(
            f"{path}: its encoder was trained together with the student, so there are no features to compare "
            "others on; `qdllm bench ngrams` compares such students, or give a run with another --encoder"
        )
    contenders = _contenders(metrics, config, groups, only, models)
    rows, budget = _limits(contenders, rows, budget)
    count = min(workers or min(available_cores(), _MOST_WORKERS), seeds * budget * len(contenders))
    encoder = _encoder_costs(run, metrics)
    run.comparison.mkdir(exist_ok=True)
    shared = None if ray is None else run.comparison  # other machines do not see this one's temporary files
    # One budget, one ledger: splits that ask an endpoint do so one after the other, here.
    one_by_one = Workers(1) if asks_endpoint(config.teacher.source) else None
    with (
        tempfile.TemporaryDirectory(dir=shared) as folder,
        Workers(count) if ray is None else ClusterWorkers(ray) as processes,
    ):
        preparing = _Preparing(run.path, Path(folder), rows)
        found = compare(
            _prepare(preparing, seeds, one_by_one or processes, quiet=quiet),
            contenders,
            budget=budget,
            store=run.comparison / "fits",
            workers=processes,
            encoder=encoder,
            quiet=quiet,
        )
    write_comparison(found, run.path, title=found["about"]["data"])
    return found


def _contenders(
    metrics: Mapping[str, Any],
    config: RunConfig,
    groups: Sequence[str],
    only: Sequence[str],
    models: Sequence[str],
) -> list[Contender]:
    """Return the student as the run chose it, and what it is to be compared with."""
    if unknown := sorted(set(groups) - set(GROUPS)):
        raise ConfigError(f"no group {unknown[0]!r}; there are {', '.join(GROUPS)}")
    parameters = {**config.student.parameters(), "encoding": metrics["chosen_encoding"]}
    student, *others = controls(parameters)
    published = baselines(models)
    named = {f"hf:{model}" for model in models}
    if only:
        return select([student, *others, *published], [*only, *named])
    chosen = [student]
    chosen += others if "controls" in groups else []
    return chosen + [one for one in published if "baselines" in groups or one.name in named]


def _limits(contenders: Sequence[Contender], rows: int | None, budget: int) -> tuple[int | None, int]:
    """Give all models no more rows and settings than the one that bears least: the same for every model."""
    present, _ = part_runnable(contenders)
    allowed = [limit for limit in (rows, *(one.max_rows for one in present)) if limit is not None]
    settings = [limit for one in present if (limit := one.max_settings) is not None]
    found = min(allowed, default=None), min([budget, *settings])
    if found != (rows, budget):
        _log.info(
            "a transformer is tuned on a CPU: every model learns from at most %s rows and tries at most %s "
            "settings",
            "all" if found[0] is None else found[0],
            found[1],
        )
    return found


@dataclass(frozen=True)
class _Preparing:
    """Makes a split and writes it into a folder, in whatever process it is called in."""

    run: Path
    folder: Path
    rows: int | None

    def __call__(self, number: int) -> Path | str:
        path = self.folder / f"{number}.parquet"
        try:
            make_task(RunFolder(self.run), number, self.rows).write(path)
        except Exception as error:  # a split that cannot be made is a failed row, whatever the reason
            if number == 0:  # nothing would be left to compare
                raise
            return reason_of(error)
        return path


def _prepare(preparing: _Preparing, seeds: int, workers: Workers, *, quiet: bool) -> dict[int, Path | str]:
    """Make all splits; one that cannot be made is a sentence, and a failed row of every model."""
    made: dict[int, Path | str] = {}
    with progress("splitting and teaching", seeds, unit="splits", quiet=quiet) as advance:
        for number, outcome in workers.map(preparing, range(seeds)):
            made[number] = outcome
            advance(1)
    return dict(sorted(made.items()))


def _encoder_costs(run: RunFolder, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Measure once what the run's encoder costs; None is what is not known of one that is not here."""
    kept, folder = run.comparison / "encoder.json", run.student / ENCODER_FOLDER
    costs: dict[str, Any] = {
        "name": None,
        "n_parameters": metrics["parameters"]["encoder"],
        "n_bytes": None,
        "microseconds": {},
    }
    try:
        encoder = load_encoder(folder)
    except RequestError:
        return costs
    known = _read_costs(kept)
    if known.get("fingerprint") == encoder.fingerprint and set(costs) <= set(known):
        return known
    costs |= {
        "name": encoder.name,
        "fingerprint": encoder.fingerprint,
        "n_parameters": encoder.n_parameters,
        "n_bytes": encoder.n_bytes,
        "microseconds": _time_encoder(encoder, run),
    }
    write_json(kept, costs)
    return costs


def _read_costs(path: Path) -> dict[str, Any]:
    """Return what was measured before; nothing where the file is missing or damaged: it is measured anew."""
    try:
        known = read_json(path) if path.is_file() else {}
    except QdllmError:
        return {}
    return known if isinstance(known, dict) else {}


def _time_encoder(encoder: Encoder, run: RunFolder) -> dict[str, float]:
    """Wall time a text in µs, without the cache, by the number of texts encoded at once."""
    config = RunConfig.from_toml(run.config, {})
    texts = load_texts(config.data, config.seed).dataset.texts
    order = np.random.default_rng(config.seed).permutation(len(texts))
    encoder.encode(texts[:1], cached=False)  # loads the model
    found = {}
    for batch in BATCHES:
        count = _SINGLE_TEXTS if batch == 1 else batch
        some = [texts[order[i % len(order)]] for i in range(count)]
        pieces = [some[i : i + batch] for i in range(0, count, batch)]
        with one_thread():
            seconds = best_time(lambda piece: encoder.encode(piece, cached=False), pieces)
        found[str(batch)] = round(1e6 * seconds / count, 1)
    return found
