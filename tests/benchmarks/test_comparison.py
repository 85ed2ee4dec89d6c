"""The benchmark's own part: configurations laid over one another, pooled files, and bars."""

import importlib.util
import json
from argparse import Namespace
from pathlib import Path

import pytest

from qdllm.data import read_dataset
from qdllm.errors import ConfigError

PATH = Path(__file__).parents[2] / "benchmarks" / "comparison.py"
SPEC = importlib.util.spec_from_file_location("comparison_benchmark", PATH)
comparison = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(comparison)


@pytest.fixture
def options(tmp_path):
    return Namespace(encoder=[], config=None, work=tmp_path / "work")


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A task as two files, small and noisy."""
    words = {"sport": "match team goal season player", "market": "shares profit bank oil price"}
    for part, n in (("train", 90), ("test", 30)):
        lines = ["text,label"]
        for i in range(n):
            label, other = list(words)[:: 1 if i % 2 else -1]
            chosen = [words[label].split()[(i * k) % 5] for k in (1, 2, 3)] + [words[other].split()[i % 5]]
            lines.append(f'"{" ".join(chosen)}, no {part} {i}",{label}')
        (tmp_path / f"topic_{part}.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("QDLLM_TASKS", str(tmp_path))


def test_a_probe_teaches_unless_something_else_is_said(options, tmp_path):
    plain = comparison.configure("reviews", options)
    assert (plain.teacher.mode, plain.encoder.source) == ("probe", "minilm")
    assert plain.teacher.template.startswith("Review:")
    file = tmp_path / "all.toml"
    file.write_text('seed = 3\n[student]\nn_qubits = 5\n[encoder]\nsource = "tfidf"\n')
    options.config = file
    over = comparison.configure("reviews", options)
    assert (over.seed, over.student.n_qubits, over.encoder.source) == (3, 5, "tfidf")
    assert over.teacher == plain.teacher
    options.encoder = ["minilm+tfidf", "news=smollm2@15"]
    assert comparison.configure("reviews", options).encoder.source == "minilm+tfidf"
    assert comparison.configure("news", options).encoder.source == "smollm2@15"


def test_a_folder_of_configurations_serves_each_task_its_own(options, tmp_path):
    (tmp_path / "news.toml").write_text("[student]\nn_layers = 1\n")
    options.config = tmp_path
    assert comparison.configure("news", options).student.n_layers == 1
    assert comparison.configure("spam", options).student.n_layers == 2


def test_both_files_of_a_task_are_pooled(options, tasks):
    config = comparison.configure("topic", options)
    assert config.data.test is None
    pooled = read_dataset(config.data.path, require_labels=True)
    assert len(pooled) == 120
    assert sum("no test" in text for text in pooled.texts) == 30


def test_an_unknown_task_is_named(options):
    with pytest.raises(ConfigError, match="no task 'weather'"):
        comparison.configure("weather", options)


def _found(**differences):
    entries = [
        {"minus": name.replace("_", "-"), "difference": d, "p_holm": p}
        for name, (d, p) in differences.items()
    ]
    return {
        "differences": entries,
        "contenders": {
            "student": {"group": "student", "summary": {"accuracy": {"mean": 0.9}}},
            **{entry["minus"]: {"group": "control"} for entry in entries},
        },
        "teacher": {"summary": {"accuracy": {"mean": 0.92}}},
    }


def test_bars():
    found = _found(
        logistic_regression=(0.01, 0.2),
        mlp=(0.002, 0.9),
        svm=(-0.004, 0.4),
        no_entanglement=(0.003, 0.04),
        paper=(0.031, 0.01),
    )
    bars = comparison.judge(found)
    assert bars == {
        "level_with_every_control": True,
        "strongest_control": "svm",
        "above_logistic_regression_and_mlp": True,
        "entanglement_pays": True,
        "well_above_the_paper": True,
        "share_of_teacher": pytest.approx(0.9 / 0.92),
    }
    worse = comparison.judge(
        _found(logistic_regression=(0.01, 0.2), mlp=(-0.006, 0.9), no_entanglement=(0.003, 0.06))
    )
    assert not worse["level_with_every_control"]
    assert not worse["above_logistic_regression_and_mlp"]
    assert not worse["entanglement_pays"]
    assert not worse["well_above_the_paper"]


def test_from_the_command_to_the_page(tasks, tmp_path, monkeypatch):
    config = tmp_path / "config.toml"
    config.write_text(
        '[teacher]\nsource = "none"\n[student]\nn_qubits = 3\nn_layers = 1\nepochs = 4\nencoding = "linear"\n'
    )
    words = ["--tasks", "topic", "--seeds", "2", "--budget", "1", "--encoder", "tfidf", "--workers", "1"]
    words += ["--config", config, "--work", tmp_path / "work", "--out", tmp_path / "out"]
    monkeypatch.setattr("sys.argv", ["comparison", *map(str, words)])
    comparison.main()
    page = (tmp_path / "out" / "comparison.md").read_text()
    assert page.startswith("# The honest comparison\n\n**topic.** ")
    assert "## topic: the student and what stands beside it" in page
    results = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert results["tasks"]["topic"]["found"]["test_rows_redrawn"]
    monkeypatch.setattr(comparison, "compare_run", lambda *_, **__: pytest.fail("measured twice"))
    comparison.main()
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["tasks"] == results["tasks"]
