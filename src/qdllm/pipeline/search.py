"""`qdllm search`: from texts to a Pareto front of designs, and the configuration of the chosen one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.compare import ComparisonTask, mean_interval, paired_over_rows
from qdllm.encoders import Features
from qdllm.errors import CircuitError, ConfigError, TooLargeError
from qdllm.files import read_json, write_json, write_text
from qdllm.machine import describe_machine
from qdllm.pipeline.config import RunConfig, StudentConfig
from qdllm.pipeline.sources import encode_texts, label_texts, load_texts
from qdllm.pipeline.splits import join_task
from qdllm.progress import progress
from qdllm.search import (
    PAPER,
    SPACE,
    Design,
    Found,
    check_search,
    costs_of,
    describe_space,
    fit_design,
    hits,
    known_classes,
    standard_error,
)
from qdllm.search import search as search_designs
from qdllm.search.page import as_markdown
from qdllm.student import Student
from qdllm.surrogate import compile_student

__all__ = ["search"]

_SEEDS = 3  # of the last comparison, with the paper's design
_MAX_ERROR = 0.01  # of the formulas there, in logits at any angles


def search(
    config: RunConfig, out: str | Path, *, trials: int = 60, minutes: float | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Search for a student's design, and set the chosen one beside the paper's.

    What the configuration sets in its student section stays as it is; the other fields of
    `qdllm.search.SPACE` are searched. The test rows take no part in it: when the choice is made, the chosen
    design and the paper's are each trained with three seeds and scored on them. An interrupted call goes
    on where it stopped, one with more trials adds to them; the last comparison is made again only for
    another choice.

    Parameters
    ----------
    config : RunConfig
    out : path
        The folder: ``study.db`` (the trials), ``front.json``, ``config.toml`` (the chosen design, for
        `distill`) and ``search.md``.
    trials : int
        How many are to be finished in all, at least 1.
    minutes : float, optional
        Start no trial later than this.
    quiet : bool
        Show no progress bar.

    Returns
    -------
    dict
        What front.json holds.

    Raises
    ------
    ConfigError
        If a setting cannot be searched with, or the folder holds something else.
    """
    if config.student.noise is not None:
        raise ConfigError("student.noise: a search trains without noise; give it to distill")
    fixed = config.student.model_dump(exclude_unset=True)
    if fixed.get("encoding") == "auto":  # of `distill`: try all; a search does
        del fixed["encoding"]
    check_search(fixed, trials, minutes)
    folder = _free_folder(out)
    texts = load_texts(config.data, config.seed)
    labels = label_texts(config, texts)
    if not texts.dataset.classes and labels is None:
        raise ConfigError("neither a teacher nor a label: name a label column, or a --teacher")
    encoded = encode_texts(config, texts)
    features = Features(texts.dataset.row_ids, encoded.x, encoded.about)
    task = join_task(config.seed, texts, labels, features)
    found = search_designs(
        task.lesson,
        folder / "study.db",
        trials=trials,
        seed=config.seed,
        fixed=fixed,
        minutes=minutes,
        quiet=quiet,
    )
    chosen = config.model_copy(update={"student": StudentConfig(**found.chosen.design)})
    paper = {**{name: value for name, value in fixed.items() if name not in SPACE}, **PAPER}
    results = {
        "schema": {"name": "qdllm.search", "version": 1},
        "machine": describe_machine("optuna", "torch"),
        "data": texts.dataset.name,
        "teacher": "none" if labels is None else labels.meta.get("teacher", config.teacher.source),
        "encoder": encoded.name,
        "seed": config.seed,
        "rows": {part: len(texts.split.indices(part)) for part in ("train", "validation", "test")}
        | {
            "validation_labelled": int((task.lesson.validation.y >= 0).sum()),
            "compared_on": found.n_rows,
        },
        "classes": list(task.classes),
        "fixed": fixed,
        "space": describe_space(found.fields),
        **_trials(found),
        "paper": _costed(paper, task),
        "final": _final(folder / "front.json", task, found, paper, quiet),
    }
    chosen.to_toml(folder / "config.toml")
    write_text(folder / "search.md", as_markdown(results))
    write_json(folder / "front.json", results)
    return results


def _free_folder(out: str | Path) -> Path:
    """Make the folder, or take one of an earlier search, before anything costly is done."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        seen = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if seen and not (folder / "study.db").is_file():
            raise ConfigError(f"{folder}: holds something else than a search; give another --out")
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); give another --out") from error


def _trials(found: Found) -> dict[str, Any]:
    return {
        "trials": {
            "finished": len(found.candidates) + len(found.pruned),
            "trained": len(found.candidates),
            "pruned": [{"trial": trial, "why": why} for trial, why in found.pruned.items()],
            "interrupted": found.interrupted,
            "seconds": round(found.seconds, 1),
        },
        "candidates": [asdict(candidate) for candidate in found.candidates],
        "front": [asdict(candidate) for candidate in found.front],
        "standard_error": standard_error(found.front[0].accuracy, found.n_rows),
        "chosen": asdict(found.chosen),
    }


def _costed(design: Design, task: ComparisonTask) -> dict[str, Any]:
    gates, parameters = costs_of(design, task.rows.x.shape[1], len(task.classes))
    return {"design": dict(design), "two_qubit_gates": gates, "parameters": parameters}


def _final(path: Path, task: ComparisonTask, found: Found, paper: Design, quiet: bool) -> dict[str, Any]:
    """Train both designs with several seeds; test rows are looked at here, and nowhere before."""
    identity = [found.digest, found.chosen.trial, task.digest, _MAX_ERROR]
    digest = sha256(json.dumps(identity).encode()).hexdigest()
    earlier = read_json(path).get("final", {}) if path.is_file() else {}
    if earlier.get("digest") == digest:
        return dict(earlier)
    seeds = [task.seed + i for i in range(_SEEDS)]
    students: dict[str, list[Student]] = {"chosen": [], "paper": []}
    with progress("comparing with the paper's", 2 * _SEEDS, unit="students", quiet=quiet) as advance:
        for name, design in (("chosen", found.chosen.design), ("paper", paper)):
            for seed in seeds:
                students[name].append(fit_design(task.lesson, design, seed))
                advance(1)
    validation = task.take("validation")
    return {
        "seeds": seeds,
        "formulas": {name: _formula(of_design[0]) for name, of_design in students.items()},
        "validation": _side_by_side(students, validation.x, known_classes(validation)),
        "test": _side_by_side(students, task.take("test").x, task.truth[task.part == "test"]),
        "digest": digest,
    }


def _formula(student: Student) -> dict[str, Any]:
    """Say how small the student's formula is, or why it has none."""
    try:
        surrogate = compile_student(student, _MAX_ERROR)
    except (CircuitError, TooLargeError) as error:
        return {"refused": str(error)}
    certificate, form = surrogate.certificate, surrogate.form
    return {"max_error": certificate.max_error, "form": form.kind, "size": form.size}


def _side_by_side(
    students: Mapping[str, Sequence[Student]], x: NDArray[np.float32], codes: NDArray[np.int64]
) -> dict[str, Any] | None:
    rows = int((codes >= 0).sum())
    if not rows:
        return None
    right = {name: np.stack([hits(s, x, codes) for s in several]) for name, several in students.items()}
    test = paired_over_rows(right["chosen"], right["paper"])
    return {
        "rows": rows,
        **{name: asdict(mean_interval(several)) for name, several in right.items()},
        "difference": asdict(test.difference),
        "p": test.p,
    }
