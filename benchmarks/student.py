"""Experiments on a better student, with what failed: each variant changes one thing of a run's student.

    qdllm bench student --runs FOLDER [--tasks topic,hiding] [--splits 3] [--seed 0] [--only NAME,…]
        [--out FOLDER] [--json]

FOLDER holds a run a task, as `qdllm bench comparison --work FOLDER` leaves them. Options of the student and
techniques that the package does not have are trained on the training rows of the run's splits and judged on
their validation rows; test rows choose nothing. What the file in --out holds already, of the same settings
and the same run, is not trained again. --only takes names of variants as the page writes them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _student.page import as_page
from _student.variants import BASELINE, VARIANTS, Variant, differs, fit
from comparison import begin, finished_runs, is_measured

from qdllm.cli.printing import errors_in_one_line
from qdllm.compare import Lesson, log_loss, one_thread, resampled_test
from qdllm.errors import ConfigError, QdllmError
from qdllm.files import write_json, write_text
from qdllm.machine import describe_machine
from qdllm.pipeline import RunConfig, RunFolder
from qdllm.pipeline.splits import make_task
from qdllm.progress import progress
from qdllm.search.training import known_classes

_SCHEMA = {"name": "qdllm.bench-student", "version": 1}


def main() -> None:
    """Train what is missing, print the page, and write student.json and student.md."""
    options = _parse()
    path = options.out / "student.json"
    settings = {"splits": options.splits, "seed": options.seed}
    results = begin(path, _SCHEMA, settings, "tasks")
    for task in options.tasks:
        run = RunFolder(options.runs / task)
        config = _configuration(run)
        if not is_measured(results["tasks"].get(task), config):
            results["tasks"][task] = {"config": config.model_dump(mode="json"), "variants": {}}
        measure(run, config, options, results["tasks"][task], lambda: write_json(path, results))
    write_text(options.out / "student.md", as_page(results))
    print(json.dumps(results, indent=2) if options.json else as_page(results))


def measure(
    run: RunFolder,
    config: RunConfig,
    options: argparse.Namespace,
    task: dict[str, Any],
    keep: Callable[[], None],
) -> None:
    """Train the variants of a task that are missing, one by one, the baseline first."""
    parameters = config.student.parameters()
    possible = [one for one in VARIANTS if differs(one, parameters, taught=run.labels.is_file())]
    task["left_out"] = [one.name for one in possible if one.name not in options.only]
    wanted = [BASELINE, *(one for one in possible if one.name in options.only)]
    found = task["variants"]
    missing = [one for one in wanted if found.get(one.name, {}).get("change") != one.change]
    if not missing:
        return
    # Lessons hold training and validation rows: no variant can be asked about a test row.
    made = [make_task(run, number) for number in range(options.splits)]
    lessons = [(one.lesson, one.seed + options.seed) for one in made]
    task["machine"] = describe_machine("torch")
    task["rows"] = {"train": len(lessons[0][0].train), "validation": len(lessons[0][0].validation)}
    done = len(wanted) - len(missing)
    name, quiet = run.path.name, options.json
    with progress(f"variants on {name}", len(wanted), unit="variants", done=done, quiet=quiet) as advance:
        for variant in missing:
            found[variant.name] = judge(variant, parameters, lessons)
            if variant is not BASELINE:
                found[variant.name] |= _difference(found[variant.name], found[BASELINE.name], task["rows"])
            keep()
            advance(1)


def judge(variant: Variant, parameters: dict[str, Any], lessons: list[tuple[Lesson, int]]) -> dict[str, Any]:
    """Train a variant on every split; return its figures on the validation rows.

    Raises
    ------
    QdllmError
        If the baseline itself cannot be trained.
    """
    found: dict[str, Any] = {"kind": variant.kind, "change": variant.change}
    accuracy, loss, seconds = [], [], []
    for lesson, seed in lessons:
        started = time.process_time()
        try:
            with one_thread():
                fitted = fit(variant, parameters, lesson, seed)
        except QdllmError as error:
            if variant is BASELINE:
                raise
            return {**found, "failed": str(error)}
        seconds.append(round(time.process_time() - started, 3))
        codes = known_classes(lesson.validation)
        known = codes >= 0
        proba = fitted.predict_proba(lesson.validation.inputs)[known]
        accuracy.append(float((proba.argmax(axis=1) == codes[known]).mean()))
        loss.append(log_loss(codes[known], proba))
    figures = {"accuracy": accuracy, "loss": loss, "cpu_seconds": seconds}
    return {**found, **figures, "n_trained": fitted.n_trained}


def _difference(one: dict[str, Any], baseline: dict[str, Any], rows: dict[str, int]) -> dict[str, float]:
    if "failed" in one:
        return {}
    paired = [a - b for a, b in zip(one["accuracy"], baseline["accuracy"], strict=True)]
    test = resampled_test(paired, rows["train"], rows["validation"])
    interval = test.difference
    return {"difference": interval.value, "low": interval.low, "high": interval.high, "p": test.p}


def _configuration(run: RunFolder) -> RunConfig:
    """Return a run's configuration, with the encoding that was chosen where several were tried."""
    chosen = run.read_metrics()["chosen_encoding"]
    config = RunConfig.from_toml(run.config, {})
    if config.encoder.is_trained:
        raise ConfigError(f"{run.path}: its encoder was trained together with the student; take another run")
    return config.model_copy(update={"student": config.student.model_copy(update={"encoding": chosen})})


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="qdllm bench student", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="a folder with a run a task")
    parser.add_argument("--tasks", help="comma-separated; all runs of the folder unless given")
    parser.add_argument("--splits", type=int, default=3, help="splits a task")
    parser.add_argument("--seed", type=int, default=0, help="added to that of every training")
    parser.add_argument("--only", help="names of variants, comma-separated")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    names = [variant.name for variant in VARIANTS]
    options.tasks = options.tasks.split(",") if options.tasks else finished_runs(options.runs)
    options.only = options.only.split(",") if options.only else names
    if unknown := sorted(set(options.only) - set(names)):
        raise ConfigError(f"--only: no variant {unknown[0]!r}; there are {', '.join(names)}")
    if options.splits < 2:
        raise ConfigError(f"--splits is {options.splits}: a difference needs at least 2")
    if options.seed < 0:
        raise ConfigError(f"--seed is {options.seed}: it must be at least 0")
    options.out.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    with errors_in_one_line():
        main()
