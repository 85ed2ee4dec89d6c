"""The benchmark of entanglement: questions about several texts, and the way from the command to the page."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from qdllm.compare import ComparisonTask, Rows

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def entanglement(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("entanglement_benchmark", FOLDER / "entanglement.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("comparison", None)


@pytest.fixture
def task():
    """Texts "PART CODE NUMBER" of four classes, one feature that is the row's number, a sure teacher."""
    part = np.repeat(["train", "validation", "test"], [80, 40, 40])
    codes = np.arange(160) % 4
    texts = tuple(f"{part[i]} {codes[i]} {i}" for i in range(160))
    test = part == "test"
    rows = Rows(
        texts,
        np.arange(160, dtype=np.float32)[:, None],
        np.where(test, -1, codes),
        0.9 * np.eye(4)[codes] + 0.025,
    )
    return ComparisonTask(5, ("a", "b", "c", "d"), rows, part, np.where(test, codes, -1))


def _answers(task):
    return np.where(task.part == "test", task.truth, task.rows.y)


@pytest.mark.parametrize(("kind", "count"), [("same", 2), ("odd", 3)])
def test_answers_follow_from_the_texts_and_no_text_leaves_its_part(entanglement, task, kind, count):
    asked = entanglement.ask(task, kind)
    assert len(asked.rows) == 2 * len(task.rows)
    assert asked.rows.x.shape == (320, count)
    for text, x, part, answer in zip(
        asked.rows.texts, asked.rows.x, asked.part, _answers(asked), strict=True
    ):
        words = [line.split() for line in text.split("\n")]
        assert [int(number) for _, _, number in words] == x.astype(int).tolist()
        assert {where for where, _, _ in words} == {part}
        codes = [int(code) for _, code, _ in words]
        assert answer == (codes[0] == codes[1] if kind == "same" else sum(code % 2 for code in codes) % 2)
    assert 0.4 < _answers(asked).mean() < 0.6


@pytest.mark.parametrize("kind", ["same", "odd"])
def test_the_teachers_answers_follow_from_its_probabilities(entanglement, task, kind):
    asked = entanglement.ask(task, kind)
    assert asked.rows.soft.sum(axis=1) == pytest.approx(1.0)
    assert (asked.rows.soft.argmax(axis=1) == _answers(asked)).all()  # it is sure, and right
    p = 0.9 + 0.025
    expected = p**2 + 3 * 0.025**2 if kind == "same" else (1 + (2 * (p + 0.025) - 1) ** 3) / 2
    sure = asked.rows.soft[_answers(asked) == 1, 1]
    assert sure.max() == pytest.approx(expected)


def test_questions_are_the_same_for_the_same_seed_alone(entanglement, task):
    first, again = entanglement.ask(task, "odd"), entanglement.ask(task, "odd")
    assert first.digest == again.digest
    assert entanglement.ask(task, "one") is task


def test_from_the_command_to_the_page(entanglement, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    words = {"market": "shares profit bank oil price", "sport": "match team goal season player"}
    for part, n in (("train", 100), ("test", 40)):
        lines = ["text,label"]
        for i in range(n):
            label = list(words)[i % 2]
            lines.append(f"{' '.join(rng.choice(words[label].split(), 3))} no {part} {i},{label}")
        (tmp_path / f"topic_{part}.csv").write_text("\n".join(lines) + "\n")
    config = tmp_path / "config.toml"
    config.write_text(
        '[teacher]\nsource = "none"\n[encoder]\nsource = "tfidf"\n'
        '[student]\nn_layers = 1\nepochs = 2\nencoding = "linear"\n'
    )
    monkeypatch.setenv("QDLLM_TASKS", str(tmp_path))
    out = tmp_path / "out"
    options = ["--tasks", "topic", "--kinds", "one,same", "--qubits", "2", "--seeds", "2", "--budget", "1"]
    options += ["--workers", "1", "--config", config, "--work", tmp_path / "work", "--out", out]
    monkeypatch.setattr("sys.argv", ["entanglement", *map(str, options)])
    entanglement.main()
    cells = json.loads((out / "entanglement.json").read_text())["cells"]
    assert set(cells) == {
        f"topic {kind} 2 {readout}" for kind in ("one", "same") for readout in ("z", "strings")
    }
    for cell in cells.values():
        both = [cell["accuracy"][name]["mean"] for name in ("student", "no-entanglement")]
        assert cell["differences"]["no-entanglement"]["difference"] == pytest.approx(both[0] - both[1])
    page = (out / "entanglement.md").read_text()
    assert "Of 4 combinations" in page
    assert "| topic | same | 2 | strings |" in page
    monkeypatch.setattr(entanglement, "compare", lambda *_, **__: pytest.fail("measured twice"))
    entanglement.main()
