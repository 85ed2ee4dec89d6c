"""qdllm compile and what a compiled folder serves for, as a user of the command line calls them."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from qdllm import Surrogate, TextSurrogate
from qdllm.pipeline import load_text_model

from .test_cli import _write_csv, qdllm, refused

OPTIONS = ("--teacher", "none", "--epochs", 10, "--qubits", 3, "--quiet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("surrogate")


@pytest.fixture(scope="module")
def data(folder):
    return _write_csv(folder / "data.csv", 120, 1)


@pytest.fixture(scope="module")
def run(folder, data):
    qdllm("distill", data, "--encoder", "tfidf", "--out", folder / "run", *OPTIONS)
    return folder / "run"


@pytest.fixture(scope="module")
def ngram_run(folder, data):
    qdllm("distill", data, "--encoder", "ngrams", "--out", folder / "ngrams", *OPTIONS)
    return folder / "ngrams"


@pytest.fixture(scope="module")
def compiled(run):
    qdllm("compile", run)
    return run / "surrogate"


def test_compiling_reports_what_is_proven_and_seen(run, folder):
    found = json.loads(qdllm("compile", run, "--max-error", 0.05, "--out", folder / "a", "--json").stdout)
    certificate = found["certificate"]
    assert certificate["met"]
    assert certificate["max_error"] <= 0.05
    assert certificate["check"]["max_error"] <= certificate["max_error"]
    assert certificate["check"]["rows"] == json.loads((run / "metrics.json").read_text())["rows"]["test"]
    assert found["bytes"] == (folder / "a" / "formula.npz").stat().st_size
    assert found["encoder_bytes"] > found["projection_bytes"] > found["bytes"] > 0
    assert found["terms"] > 0


def test_a_compiled_folder_predicts_like_its_run(run, compiled, data):
    texts = ("the striker and his coach", "oil shares fall")
    ours, theirs = (json.loads(qdllm("predict", path, *texts, "--json").stdout) for path in (compiled, run))
    assert [row["label"] for row in ours] == [row["label"] for row in theirs]
    for one, two in zip(ours, theirs, strict=True):
        assert one["proba"] == pytest.approx(two["proba"], abs=0.02)
    ours, theirs = (json.loads(qdllm("evaluate", path, data, "--json").stdout) for path in (compiled, run))
    assert ours["accuracy"] == theirs["accuracy"]
    assert isinstance(load_text_model(compiled), TextSurrogate)


def test_texts_of_ones_own_are_compared_on(run, folder, data):
    out = ("--out", folder / "b", "--json")
    found = json.loads(qdllm("compile", run / "student", "--data", data, *out).stdout)
    assert found["certificate"]["check"]["rows"] == 120


def test_an_ngram_surrogate_takes_texts_without_torch(ngram_run):
    qdllm("compile", ngram_run)
    script = (
        "import sys\nfrom qdllm import TextSurrogate\n"
        f"model = TextSurrogate.from_pretrained({str(ngram_run / 'surrogate')!r})\n"
        "print(*model.predict(['the striker and his coach', 'oil shares fall']))\n"
        "print('torch' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    rows = json.loads(
        qdllm("predict", ngram_run, "the striker and his coach", "oil shares fall", "--json").stdout
    )
    assert ran.stdout.split() == [rows[0]["label"], rows[1]["label"], "False"]


@pytest.mark.parametrize(("kind", "suffix"), [("c", ".h"), ("numpy", ".npz"), ("onnx", ".onnx")])
def test_a_run_and_its_surrogate_are_exported(run, compiled, tmp_path, kind, suffix):
    if kind == "onnx":
        pytest.importorskip("onnx")
    for source in (run, compiled):
        said = qdllm("export", source, "--format", kind, "--out", tmp_path / f"student{suffix}").stdout
        assert "no logit off by more than" in said
    assert (tmp_path / f"student{suffix}").stat().st_size > 1000


def test_an_ngram_run_is_one_python_file(ngram_run, tmp_path):
    qdllm("export", ngram_run, "--format", "python", "--out", tmp_path / "student.py")
    text = "the striker and his coach"
    ran = subprocess.run(
        [sys.executable, "-I", tmp_path / "student.py", text], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == json.loads(qdllm("predict", ngram_run, text, "--json").stdout)[0]["label"]


def test_inspect_says_how_classical_a_student_is(run, tmp_path):
    pytest.importorskip("matplotlib")
    said = qdllm("inspect", run, "--formula").stdout
    assert "tensor-train ranks" in said
    assert "entanglement of each qubit" in said
    report = json.loads(qdllm("inspect", run, "--plots", tmp_path / "plots", "--json").stdout)
    formula = report["formula"]
    assert sum(formula["orders"]) == pytest.approx(1)
    assert len(formula["entanglement"]) == len(formula["ranks"]) == 3
    assert all(0 <= value <= 1 for value in formula["entanglement"])
    assert formula["spectrum"] == sorted(formula["spectrum"], reverse=True)
    names = {"entanglement.png", "orders.png", "ranks.png", "spectrum.png", "terms.png"}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == names


def test_wrong_requests_are_refused_in_one_line(run, ngram_run, compiled, folder, tmp_path):
    assert "above 0" in refused("compile", run, "--max-error", 0)
    assert "above 0" in refused("compile", run, "--max-error", "nan")
    assert "compiled already" in refused("compile", compiled)
    assert "give --out" in refused("compile", run / "student")
    assert "something else" in refused("compile", run, "--out", folder)
    assert "no such folder" in refused("compile", folder / "nothing")
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "cannot be written" in refused("compile", run, "--out", blocked / "below")
    assert "ends with .h" in refused("export", run, "--format", "c", "--out", tmp_path / "x.c")
    assert "only a student on `ngrams`" in refused(
        "export", run, "--format", "python", "--out", tmp_path / "x.py"
    )
    assert "leave it out" in refused("export", run, "--format", "c", "--text", "a", "--out", tmp_path / "x.h")
    assert "exact" in refused("export", run, "--max-error", 0.1, "--out", tmp_path / "x.qasm")
    assert "trained student" in refused("inspect", "qd_llm", "--formula")
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_an_error_that_nothing_keeps_is_said(run, folder):
    done = qdllm("compile", run, "--max-error", 1e-30, "--out", folder / "closest", "--json")
    assert "this is the closest" in done.stderr
    assert not json.loads(done.stdout)["certificate"]["met"]


def test_nan_parameters_are_refused_in_one_line(run, tmp_path):
    from safetensors.numpy import load_file, save_file

    from qdllm.student.saving import _digest

    copy = tmp_path / "student"
    shutil.copytree(run / "student", copy)
    weights = load_file(copy / "model.safetensors")
    weights["theta"] = np.full_like(weights["theta"], np.nan)
    save_file(weights, copy / "model.safetensors")
    config = json.loads((copy / "config.json").read_text())
    del config["files"]["config.json"]
    from qdllm.files import file_sha256

    config["files"]["model.safetensors"] = file_sha256(copy / "model.safetensors")
    config["files"]["config.json"] = _digest(config)
    (copy / "config.json").write_text(json.dumps(config))
    assert "not finite" in refused("compile", copy, "--out", tmp_path / "out")


def test_features_alone_are_enough(compiled):
    surrogate = Surrogate.from_pretrained(compiled)
    rows = np.zeros((2, surrogate.n_features_in_))
    assert surrogate.predict(rows).shape == (2,)
