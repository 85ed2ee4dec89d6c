import json

import pytest


@pytest.fixture
def scaling(monkeypatch):
    pytest.importorskip("matplotlib")
    import importlib
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("scaling")


def _point(qubits, depth, size):
    found = {"task": "topic", "qubits": qubits, "depth": depth, "accuracy": 0.8, "train_seconds": 1.0}
    if size is None:
        return {**found, "refused": "too many strings"}
    sizes = {"strings": 9, "terms": 5, "largest_order": 2, "rank": 3, "form": "sparse", "bytes": size}
    return {**found, **sizes}


def test_the_page_says_where_formulas_stop_being_small(scaling, tmp_path):
    points = [_point(4, 1, 50), _point(40, 1, 20_000), _point(4, 6, 900), _point(40, 6, None)]
    machine = {"date": "2026-01-01", "cpu": "a cpu", "python": "3", "numpy": "2", "torch": "2", "qdllm": "0"}
    results = {
        "command": "qdllm bench scaling",
        "machine": machine,
        "settings": {"rows": 10, "epochs": 1, "max_error": 0.01},
        "points": json.loads(json.dumps(points)),
        "untrained": [
            {"qubits": 4, "depth": 1, "strings": 9, "terms": 1234},
            {"qubits": 40, "depth": 1, "refused": "too many strings"},
        ],
    }
    page = scaling.as_markdown(results)
    assert "- Depth 1: 50 to 20,000 bytes; 1 of 2 students fit into 16 kB." in page
    assert (
        "- Depth 6: 900 to 900 bytes; 1 of 2 students fit into 16 kB; no polynomial from 40 qubits on."
        in page
    )
    rows = [line for line in page.splitlines() if line.startswith("| topic")]
    assert len(rows) == 4
    assert {line.count("|") for line in rows} == {12}
    assert "| 1 | 1,234 | refused |" in page
    scaling.plot(points, "bytes", tmp_path / "bytes.png")
    assert (tmp_path / "bytes.png").read_bytes().startswith(b"\x89PNG")


def test_an_untrained_circuit_has_more_terms_than_it_has_qubits(scaling):
    found = scaling.expand_untrained(4, 2)
    assert found["terms"] > 4
    assert found["strings"] >= found["terms"]
    assert scaling.expand_untrained(4, 2)["terms"] == found["terms"]
