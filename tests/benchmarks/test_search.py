import importlib.util
import sys
from pathlib import Path

import pytest

from qdllm.files import read_json

pytest.importorskip("matplotlib")
pytest.importorskip("optuna")
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_search", ROOT / "benchmarks" / "search.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def results():
    return read_json(RESULTS / "search.json")


def test_the_published_page_is_what_the_published_numbers_say(bench, results):
    assert bench.as_markdown(results) == (RESULTS / "search.md").read_text(encoding="utf-8")


def test_the_published_choice_beats_the_papers_design_on_validation_and_keeps_that_on_test(results):
    for found in results["tasks"].values():
        assert found["final"]["validation"]["difference"]["value"] > 0
        assert found["final"]["test"]["difference"]["low"] > 0
        formula = found["final"]["formulas"]["chosen"]
        assert formula["max_error"] <= 0.01
        assert formula["size"]["terms"] <= 500


def test_a_front_is_drawn(bench, results, tmp_path):
    bench.plot_front(results["tasks"]["topic"], tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")


def test_a_task_that_is_not_there_is_refused_in_one_line(bench, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("QDLLM_TASKS", raising=False)
    monkeypatch.setattr(sys, "argv", ["search", "--tasks", "topic", "--work", str(tmp_path)])
    with pytest.raises(SystemExit) as exit_:
        bench.main()
    assert exit_.value.code == 2
    assert capsys.readouterr().err == (
        "qdllm: topic: set QDLLM_TASKS to the folder of topic_train.csv and topic_test.csv\n"
    )
