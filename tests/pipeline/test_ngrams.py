"""A student trained together with its encoder, as a user of the command line makes and uses it."""

import json

import pyarrow.parquet as pq
import pytest

from qdllm.encoders import Features, load_encoder
from qdllm.files import folder_bytes

from .test_cli import _write_csv, qdllm, refused

OPTIONS = ("--teacher", "none", "--encoder", "ngrams", "--qubits", 3, "--quiet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ngrams")


@pytest.fixture(scope="module")
def data(folder):
    return _write_csv(folder / "data.csv", 200, 1)


@pytest.fixture(scope="module")
def run(folder, data):
    qdllm("distill", data, "--angles", "auto", "--out", folder / "run", *OPTIONS)
    return folder / "run"


def test_a_run_holds_all_that_prediction_needs(run, data, tmp_path):
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["student"]["test"]["accuracy"] == 1.0
    assert metrics["controls"]["logistic_regression"]["test"]["accuracy"] > 0.9
    assert set(metrics["students"]) == {"linear", "minmax", "tanh"}
    moved = run.rename(tmp_path / "moved")
    rows = json.loads(qdllm("predict", moved, "the striker and his coach", "--json").stdout)
    assert rows[0]["label"] == "sport"
    report = json.loads(qdllm("evaluate", moved, data, "--json").stdout)
    assert report["accuracy"] > 0.99
    moved.rename(run)


def test_what_was_trained_is_counted(run):
    counts = json.loads((run / "metrics.json").read_text())["parameters"]
    encoder = load_encoder(run / "student" / "encoder")
    assert counts["encoder"] == encoder.n_parameters
    own = counts["projection"] + counts["circuit"] + counts["readout"]
    assert counts["trained"] == own + encoder.n_trained
    assert counts["inference"] == own + encoder.n_parameters
    assert folder_bytes(run / "student") < 100_000  # few texts, small table


def test_its_features_are_those_of_the_chosen_student(run):
    features = Features.read(run / "features.parquet")
    encoder = load_encoder(run / "student" / "encoder")
    assert features.meta["fingerprint"] == encoder.fingerprint
    assert features.x.shape == (200, 3)
    config = json.loads((run / "student" / "config.json").read_text())
    assert config["encoder"] == {"name": "ngrams", "fingerprint": encoder.fingerprint}
    assert (
        config["parameters"]["encoding"] == json.loads((run / "metrics.json").read_text())["chosen_encoding"]
    )


def test_its_test_rows_had_no_part_in_the_table(folder, run, data):
    """With other words in the test rows it is the same student."""
    parts = pq.read_table(run / "split.parquet").to_pydict()
    lines = data.read_text().splitlines()
    assert len(lines) == len(parts["part"]) + 1
    train = [lines[0]] + [line for line, part in zip(lines[1:], parts["part"], strict=True) if part != "test"]
    tests = [lines[0]] + [line for line, part in zip(lines[1:], parts["part"], strict=True) if part == "test"]
    for name, rows in (("a", tests), ("b", [line.replace("no ", "zebra ") for line in tests])):
        (folder / "train.csv").write_text("\n".join(train))
        (folder / f"{name}.csv").write_text("\n".join(rows))
        test = ("--test", folder / f"{name}.csv", "--epochs", 3)
        qdllm("distill", folder / "train.csv", *test, "--out", folder / name, *OPTIONS)
    one, two = (load_encoder(folder / name / "student" / "encoder") for name in "ab")
    assert one.fingerprint == two.fingerprint


def test_commands_that_need_features_of_their_own_refuse_it(folder, run, data):
    out = ("--out", folder / "features.parquet", "--quiet")
    assert "qdllm distill" in refused("embed", data, "--encoder", "ngrams", *out)
    assert not (folder / "features.parquet").exists()
    assert "trained together" in refused("compare", run, "--quiet")
    assert "stands alone" in refused("embed", data, "--encoder", "tfidf+ngrams", *out)
