"""The benchmark of compiled students: its bars and page on made-up figures."""

import importlib
from pathlib import Path

import pytest


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("surrogate")


def _found(form="sparse", **changed):
    sizes = {"sparse": {"terms": 120}, "train": {"numbers": 9000, "rank": 30}}
    times = {"ours_us": 2.0, "theirs_us": 100.0, "times_as_fast": 50.0}
    return {
        "design": {"ansatz": "qd_llm", "n_qubits": 11, "n_layers": 2, "encoding": "linear"},
        "accuracy": 0.9,
        "seconds": 4.0,
        "form": form,
        "size": sizes[form],
        "bytes": 900,
        "projection_bytes": 70_000,
        "certificate": {
            "max_error": 0.009,
            "check": {"rows": 100, "agreement": 1.0, "max_error": 0.001, "certified": 0.99},
        },
        "angles": {"1": times, "4096": times},
        "features": {"1": times, "4096": {**times, "times_as_fast": 0.5}},
        "exports": {"numpy": 1e-7, "c": 1e-8, "onnx": None},
        **changed,
    }


def _results(**students):
    machine = dict.fromkeys(("date", "cpu", "python", "numpy", "scikit-learn", "qdllm"), "1")
    return {"command": "qdllm bench surrogate", "machine": machine, "max_error": 0.01, "students": students}


def test_every_bar_is_judged(bench):
    assert all(met for _, met in bench._bars(_found(), 0.01).values())
    worse = _found(
        bytes=16_001, size={"terms": 501}, exports={"numpy": 1e-7, "onnx, the encoder in it": 1e-3}
    )
    missed = [name for name, (_, met) in bench._bars(worse, 0.01).items() if not met]
    assert missed == ["≤ 500 terms", "≤ 16 kB", "exports within 1e-4"]
    slow = {"1": {"times_as_fast": 2.9}, "4096": {"times_as_fast": 9.9}}
    late = {"1": {"times_as_fast": 0.3}, "4096": {"times_as_fast": 0.3}}
    assert sum(not met for _, met in bench._bars(_found(angles=slow, features=late), 0.01).values()) == 4


def test_the_page_has_a_row_a_student_and_marks_what_is_missed(bench):
    page = bench.as_markdown(
        _results(
            topic={"student": _found(), "paper": _found("train", bytes=20_000), "paper, decaying": _found()}
        )
    )
    assert "| topic, its student | 100.00 % | 0.0090 | 120 | 900 |" in page
    assert (
        "| topic, the paper’s design | 100.00 % | 0.0090 | train of 9,000 numbers, rank 30 | **20,000** |"
        in page
    )
    assert "26 of 27 bars are met" in page
    rows = [line for line in page.splitlines() if line.startswith("| topic, the paper’s design, its angles")]
    assert [row.count("|") for row in rows] == [11, 13]
