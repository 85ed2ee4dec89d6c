"""The benchmark of few labels, from its command to its page, on a tiny task with a teacher from a file."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from qdllm.data import TextDataset
from qdllm.teachers import SoftLabels

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def few_labels(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("few_labels_benchmark", FOLDER / "few_labels.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("comparison", None)


@pytest.fixture
def task(tmp_path, monkeypatch):
    """A task of two files whose labels a few words tell, and a teacher who is right nine times in ten."""
    rng = np.random.default_rng(0)
    words = {"market": "shares profit bank oil price", "sport": "match team goal season player"}
    texts, labels = [], []
    for part, n in (("train", 100), ("test", 40)):
        lines = ["text,label"]
        for i in range(n):
            label = list(words)[i % 2]
            texts.append(f"{' '.join(rng.choice(words[label].split(), 3))} no {part} {i}")
            labels.append(label)
            lines.append(f"{texts[-1]},{label}")
        (tmp_path / f"topic_{part}.csv").write_text("\n".join(lines) + "\n")
    right = np.where(rng.random(len(texts)) < 0.9, 0.8, 0.2)
    market = np.where(np.array(labels) == "market", right, 1 - right)
    path = tmp_path / "teacher.parquet"
    SoftLabels(
        TextDataset.from_lists(texts).row_ids, ("market", "sport"), np.stack([market, 1 - market], 1)
    ).write(path)
    monkeypatch.setenv("QDLLM_TASKS", str(tmp_path))
    config = tmp_path / "config.toml"
    config.write_text(
        f'[teacher]\nsource = "{path}"\nmode = "auto"\n[encoder]\nsource = "tfidf"\n'
        '[student]\nn_qubits = 2\nn_layers = 1\nepochs = 3\nencoding = "linear"\n'
    )
    return config


def test_from_the_command_to_the_page(few_labels, task, tmp_path, monkeypatch):
    out = tmp_path / "out"
    words = ["--tasks", "topic", "--labels", "3,8", "--draws", "2", "--workers", "1", "--config", task]
    words += ["--work", tmp_path / "work", "--out", out]
    monkeypatch.setattr("sys.argv", ["few_labels", *map(str, words)])
    few_labels.main()
    results = json.loads((out / "few-labels.json").read_text())
    one = results["tasks"]["topic"]["8"]
    assert set(one["accuracy"]) == {"teacher", *few_labels.CONTENDERS}
    assert {len(values) for values in one["accuracy"].values()} == {2}
    gain = np.mean(one["accuracy"]["student"]) - np.mean(one["accuracy"]["no-teacher"])
    assert one["differences"]["no-teacher"]["value"] == pytest.approx(gain)
    page = (out / "few-labels.md").read_text()
    assert "| topic | 3 |" in page
    assert "| topic | 8 |" in page
    assert (out / "few-labels.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(few_labels, "compare_run", lambda *_, **__: pytest.fail("measured twice"))
    few_labels.main()


def test_the_bars_are_counted_at_sixteen_labels(few_labels):
    def task(alone, teacher):
        return {"16": {"differences": {"no-teacher": {"value": alone}, "teacher": {"value": teacher}}}}

    (sentence,) = few_labels._bars({"a": task(0.04, 0.01), "b": task(0.04, -0.01), "c": task(0.01, 0.02)})
    assert "on 2 of 3 tasks, above its teacher on 2, both on 1" in sentence
