"""A small run with a teacher and a comparison, whose classes are hard to write."""

import csv

import numpy as np
import pytest

from qdllm.data import TextDataset
from qdllm.pipeline import RunConfig, RunFolder, compare_run, distill
from qdllm.pipeline.report import gather
from qdllm.student import Student
from qdllm.teachers import SoftLabels

CLASSES = ("<b>sport</b> & 50%", "سوق", '🎬 "film"')
WORDS = (
    "match team goal season player coach win league cup striker",
    "shares profit bank oil price stock trade investor euro loss",
    "movie actor scene plot screen drama director cast story ending",
)


def make_texts(n, seed=0):
    """Texts of three topics, each with words of another one, and every tenth label wrong."""
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for i in range(n):
        own, other = i % 3, (i + 1) % 3
        words = [*rng.choice(WORDS[own].split(), 4), *rng.choice(WORDS[other].split(), rng.integers(1, 5))]
        texts.append(f"{' '.join(words)} <i>no</i> {i} مرحبا 🎉")
        labels.append(CLASSES[other if i % 10 == 7 else own])
    return texts, labels


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    texts, labels = make_texts(300)
    data = folder / "data.csv"
    with data.open("w", encoding="utf-8", newline="") as file:
        rows = list(zip(texts, labels, strict=True))
        csv.writer(file).writerows([("text", "label"), *rows, rows[0]])
    probabilities = np.full((300, 3), 0.04)
    order = sorted(CLASSES)
    for i in range(300):
        probabilities[i, order.index(CLASSES[i % 3])] = 0.92
    ids, meta = TextDataset.from_lists(texts).row_ids, {"teacher": "oracle", "mode": "file"}
    SoftLabels(ids, tuple(order), probabilities, meta=meta).write(folder / "labels.parquet")
    config = RunConfig.model_validate(
        {
            "data": {"path": str(data)},
            "teacher": {"labels": str(folder / "labels.parquet")},
            "encoder": {"source": "tfidf"},
            "student": {"n_qubits": 3, "n_layers": 1, "epochs": 40, "weight_decay": 0.1, "dropout": 0.1},
        }
    )
    distill(config, folder / "run", quiet=True)
    names = ["no-circuit", "no-entanglement", "logistic-regression"]
    compare_run(folder / "run", seeds=2, budget=1, only=names, workers=1, quiet=True)
    return folder / "run"


@pytest.fixture(scope="session")
def evidence(run):
    return gather(RunFolder(run), quiet=True)


@pytest.fixture(scope="session")
def student(run):
    return Student.from_pretrained(run / "student")
