"""`qdllm demo` ends with a report; here on a small task, where the real ones have to be fetched."""

from qdllm.pipeline import REPORT, RunConfig
from qdllm.pipeline import demo as run_demo

from .test_cli import _write_csv, qdllm


def test_the_demo_ends_with_a_report(tmp_path, monkeypatch):
    data = _write_csv(tmp_path / "data.csv", 120, 1)
    config = {
        "data": {"path": str(data)},
        "teacher": {"source": "none"},
        "encoder": {"source": "tfidf"},
        "student": {"n_qubits": 3, "epochs": 5},
    }
    fetched = []
    names = run_demo.__globals__
    monkeypatch.setitem(names, "fetch", lambda asset, quiet: fetched.append(asset))
    monkeypatch.setitem(names, "demo_config", lambda task, seed: RunConfig.model_validate(config))
    said = qdllm("demo", "--task", "news", "--out", tmp_path / "run", "--quiet").stdout
    assert fetched == ["smollm2", "minilm", "news"]
    assert (tmp_path / "run" / REPORT).read_text().startswith("<!DOCTYPE html>")
    assert REPORT in said.replace("\n", "")
