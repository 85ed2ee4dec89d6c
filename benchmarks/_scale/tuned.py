"""What fine-tuning a teacher is worth: beside the same model asked and probed, and to its student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from first_light import load_task
from numpy.typing import NDArray

from qdllm.data import Split
from qdllm.encoders import make_encoder
from qdllm.models import layer_count, load_encoder
from qdllm.pipeline.distill import fit_student
from qdllm.pipeline.sources import Texts
from qdllm.student import Student
from qdllm.teachers import TEMPLATE, SoftLabels, TuningSettings, fine_tune, label_dataset, make_teacher

__all__ = ["tuned"]

_ASKED = 256  # training rows that the examples of a prompt are drawn from


def tuned(task: str, rows: int, model: str, folder: Path, seed: int = 0) -> dict[str, Any]:
    """Test accuracy of probe, few-shot, tuned model and its student, from at most `rows` training rows."""
    config, whole = load_task(task, "minilm")
    texts = _limited(whole, rows, seed)
    dataset, split = texts.dataset, texts.split
    asked = config.teacher
    template = asked.template or TEMPLATE
    found: dict[str, SoftLabels] = {}
    few = _limited(texts, _ASKED, seed)  # a prompt shows a few of them; all test rows are asked
    for mode, (rows_of, parts) in {
        "probe": (dataset, split),
        "few-shot": (few.dataset, few.split),
    }.items():
        teacher = make_teacher(model, mode=mode, seed=seed, label_words=asked.label_words, template=template)
        found[mode] = label_dataset(teacher, rows_of, parts)
    out = folder / f"{task}-{rows}"
    report = fine_tune(model, dataset, split, out, TuningSettings(), seed=seed)
    found["tuned"] = label_dataset(make_teacher(out, seed=seed), dataset, split)

    classes = dataset.classes
    soft = found["tuned"].align(dataset.row_ids, classes)
    encoder = make_encoder(f"{out}@{layer_count(load_encoder(out)[0])}")
    features = encoder.encode(dataset.texts)
    student = Student(seed=seed)
    fit_student(student, features, texts, classes, soft)
    test = split.indices("test")
    ids, truth = zip(*((dataset.row_ids[i], (dataset.labels or ())[i]) for i in test), strict=True)
    proba = {name: labels.align(ids, classes) for name, labels in found.items()}
    proba["student"] = student.predict_proba(features)[test]
    hits = {name: np.take(classes, p.argmax(axis=1)) == truth for name, p in proba.items()}
    accuracy = {name: float(hit.mean()) for name, hit in hits.items()}
    better = max(("probe", "few-shot"), key=lambda name: accuracy[name])
    return {
        "rows": {part: len(split.indices(part)) for part in ("train", "validation", "test")},
        "accuracy": accuracy,
        "better_of_asked": better,
        "gain": _paired(hits["tuned"], hits[better]),
        "student_share": accuracy["student"] / accuracy["tuned"],
        "looks": report["looks"],
    }


def _limited(texts: Texts, rows: int, seed: int) -> Texts:
    """Keep so many training rows, a quarter as many validation rows, and all test rows."""
    rng = np.random.default_rng(seed)
    train, validation = (rng.permutation(texts.split.indices(part)) for part in ("train", "validation"))
    keep = np.sort(np.concatenate([train[:rows], validation[: rows // 4], texts.split.indices("test")]))
    return Texts(
        texts.dataset.take(keep), Split(texts.split.part[keep], texts.split.labelled[keep]), texts.duplicates
    )


def _paired(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> dict[str, float]:
    """Return the mean difference of hits and its 95 % interval by the normal approximation."""
    difference = first.astype(float) - second.astype(float)
    half = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    mean = float(difference.mean())
    return {"mean": mean, "low": mean - half, "high": mean + half}
