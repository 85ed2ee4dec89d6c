"""The command line as a user calls it."""

import io
import json
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest

from qdllm import Student, TextStudent
from qdllm.cli import main
from qdllm.data import TextDataset
from qdllm.teachers import SoftLabels

FIELDS = {
    "sport": "match team goal season player coach win league cup striker",
    "market": "shares profit bank oil price stock trade investor euro loss",
}


def _write_csv(path, n, seed, header="text,label"):
    rng = np.random.default_rng(seed)
    lines = [header]
    for i in range(n):
        name = list(FIELDS)[i % 2]
        lines.append(f"{' '.join(rng.choice(FIELDS[name].split(), 6))} no {i + 1000 * seed},{name}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class Done(NamedTuple):
    stdout: str
    stderr: str


def qdllm(*arguments, expect=0):
    """Call the command line's own entry point; a process of its own costs seconds of imports."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["qdllm", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exit_:
            main()
    finally:
        sys.argv = before
    assert exit_.value.code == expect, err.getvalue() or out.getvalue()
    return Done(out.getvalue(), err.getvalue())


def refused(*arguments):
    """Return the one line that a wrong request gets, after checking that it is one and that status is 2."""
    lines = qdllm(*arguments, expect=2).stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("qdllm: ")
    return lines[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def data(folder):
    return _write_csv(folder / "data.csv", 200, 1)


@pytest.fixture(scope="module")
def test_data(folder):
    return _write_csv(folder / "test.csv", 60, 2)


@pytest.fixture(scope="module")
def soft_labels(folder, data, test_data):
    """A teacher's probabilities as any tool may have written them: no part, no meta."""
    texts, labels = [], []
    for path in (data, test_data):
        for line in path.read_text().splitlines()[1:]:
            text, label = line.rsplit(",", 1)
            texts.append(text)
            labels.append(label)
    probabilities = np.array([[0.9, 0.1] if label == "market" else [0.2, 0.8] for label in labels])
    path = folder / "labels.parquet"
    SoftLabels(TextDataset.from_lists(texts).row_ids, ("market", "sport"), probabilities).write(path)
    return path


OPTIONS = ("--encoder", "tfidf", "--qubits", 3, "--quiet")


@pytest.fixture(scope="module")
def run(folder, data, test_data, soft_labels):
    out = folder / "run"
    qdllm("distill", data, "--test", test_data, "--labels", soft_labels, "--out", out, *OPTIONS)
    return out


def test_a_run_folder_holds_what_others_rely_on(run):
    assert {p.name for p in run.iterdir()} == {
        "config.toml",
        "features.parquet",
        "labels.parquet",
        "metrics.json",
        "predictions.parquet",
        "split.parquet",
        "student",
    }
    split = pq.read_table(run / "split.parquet").to_pydict()
    assert {"row_id", "label", "part"} <= set(split)
    assert split["part"].count("test") == 60
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["schema"] == {"name": "qdllm.metrics", "version": 1}
    assert metrics["student"]["test"]["accuracy"] > 0.8
    assert metrics["controls"]["logistic_regression"]["test"]["rows"] == 60
    assert metrics["teacher"]["test"]["accuracy"] == 1.0
    assert metrics["parameters"]["inference"] > metrics["parameters"]["trained"]
    assert tomllib.loads((run / "config.toml").read_text())["student"]["n_qubits"] == 3


def test_a_run_repeated_from_its_own_config_gives_the_same_student(run, data, folder):
    again = folder / "again"
    qdllm("distill", data, "--config", run / "config.toml", "--out", again, "--quiet")
    weights = "student/model.safetensors"
    assert (again / weights).read_bytes() == (run / weights).read_bytes()


def test_predict_prints_what_the_student_says(run):
    done = qdllm("predict", run, "the striker and the coach", "oil price and bank profit", "--json")
    rows = json.loads(done.stdout)
    assert [row["label"] for row in rows] == ["sport", "market"]
    expected = TextStudent.from_pretrained(run / "student").predict_proba([row["text"] for row in rows])
    assert np.allclose([[row["proba"]["market"], row["proba"]["sport"]] for row in rows], expected)
    shown = qdllm("predict", run / "student", "the striker and the coach").stdout
    assert "sport" in shown


def test_predict_writes_parquet(run, test_data, folder):
    qdllm("predict", run, "--input", test_data, "--out", folder / "p.parquet", "--quiet")
    table = pq.read_table(folder / "p.parquet").to_pydict()
    truth = [line.rsplit(",", 1)[1] for line in test_data.read_text().splitlines()[1:]]
    assert np.mean([a == b for a, b in zip(table["label"], truth, strict=True)]) > 0.8
    assert np.allclose(np.add(table["p:market"], table["p:sport"]), 1)


def test_evaluate_gives_the_scores_of_the_run(run, test_data):
    found = json.loads(qdllm("evaluate", run, test_data, "--json").stdout)
    metrics = json.loads((run / "metrics.json").read_text())["student"]["test"]
    assert found.pop("rows_seen_in_training") == 0
    assert found == pytest.approx(metrics)


def test_evaluate_says_how_many_rows_the_student_was_trained_on(run, data):
    found = json.loads(qdllm("evaluate", run, data, "--json").stdout)
    assert found["rows_seen_in_training"] == found["rows"] == 200
    alone = json.loads(qdllm("evaluate", run / "student", data, "--json").stdout)
    assert alone["rows_seen_in_training"] is None


@pytest.mark.parametrize("version", [2, 3])
def test_exported_qasm_is_the_trained_circuit(run, folder, version):
    qiskit_qasm = pytest.importorskip(f"qiskit.qasm{version}")
    from qiskit.quantum_info import Pauli, Statevector

    path = folder / f"circuit{version}.qasm"
    text = "the coach of the team"
    qdllm("export", run, "--format", f"qasm{version}", "--out", path, "--text", text)
    circuit = qiskit_qasm.loads(path.read_text())
    circuit.remove_final_measurements()
    student = TextStudent.from_pretrained(run / "student")
    state = Statevector(circuit)
    z = [state.expectation_value(Pauli("I" * (2 - i) + "Z" + "I" * i)).real for i in range(3)]
    readout = student.student_.model_.readout
    logits = readout.weight.detach().numpy() @ z + readout.bias.detach().numpy()
    proba = np.exp(logits) / np.exp(logits).sum()
    assert np.allclose(proba, student.predict_proba([text])[0], atol=1e-6)


def test_labels_and_features_made_apart_train_the_same_student(folder, data, test_data, soft_labels, run):
    features, out = folder / "features.parquet", folder / "apart"
    qdllm("embed", data, "--test", test_data, "--encoder", "tfidf", "--out", features, "--quiet")
    files = ("--labels", soft_labels, "--features", features)
    qdllm("distill", data, "--test", test_data, *files, "--out", out, *OPTIONS)
    weights = "student/model.safetensors"
    assert (out / weights).read_bytes() == (run / weights).read_bytes()
    assert qdllm("predict", out, "goal in the cup").stdout == qdllm("predict", run, "goal in the cup").stdout


def test_a_student_learns_from_the_teacher_alone(folder, soft_labels):
    data = _write_csv(folder / "unlabelled.csv", 200, 1, header="text,ignored")
    qdllm("distill", data, "--labels", soft_labels, "--out", folder / "alone", *OPTIONS)
    student = TextStudent.from_pretrained(folder / "alone" / "student")
    assert student.predict(["shares and stock", "league and cup"]).tolist() == ["market", "sport"]


def test_hidden_labels_stay_hidden(folder, data, test_data):
    out = folder / "few"
    options = ("--teacher", "none", "--labels-per-class", 5, *OPTIONS)
    qdllm("distill", data, "--test", test_data, "--out", out, *options)
    split = pq.read_table(out / "split.parquet").to_pydict()
    visible = [row for row in zip(split["part"], split["labelled"], strict=True) if row == ("train", True)]
    assert len(visible) == 10
    assert not any(
        shown for part, shown in zip(split["part"], split["labelled"], strict=True) if part == "validation"
    )


def test_the_better_encoding_is_chosen_on_validation_rows(folder, data, test_data):
    out = folder / "auto"
    qdllm(
        "distill", data, "--test", test_data, "--teacher", "none", "--out", out, "--angles", "auto", *OPTIONS
    )
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics["students"]) == {"linear", "minmax", "tanh"}
    accuracy = {name: found["validation"]["accuracy"] for name, found in metrics["students"].items()}
    assert accuracy[metrics["chosen_encoding"]] == max(accuracy.values())
    assert Student.from_pretrained(out / "student").encoding == metrics["chosen_encoding"]


def test_an_interrupted_run_goes_on_where_it_stopped(folder, data, test_data, soft_labels):
    straight, stopped = folder / "straight", folder / "stopped"
    options = ("--test", test_data, "--labels", soft_labels, "--encoder", "tfidf", "--qubits", 4, "--quiet")
    options = (*options, "--epochs", 1500, "--config", folder / "patient.toml")
    (folder / "patient.toml").write_text("[student]\npatience = 1500\n")
    # A job in the background of a shell inherits a deaf ear for SIGINT.
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    script += "from qdllm.cli import main; main()"
    command = [sys.executable, "-c", script, "distill", data, "--out", stopped, *options]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(stopped.glob("checkpoint*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on where this one stopped" in said
    assert not (stopped / "metrics.json").exists()
    assert list(stopped.glob("checkpoint*"))
    qdllm("distill", data, "--out", stopped, *options)
    qdllm("distill", data, "--out", straight, *options)
    weights = "student/model.safetensors"
    assert (stopped / weights).read_bytes() == (straight / weights).read_bytes()
    assert not list(stopped.glob("checkpoint*"))


def test_a_readers_closed_pipe_is_no_error(run):
    command = f"{sys.executable} -m qdllm predict {run} {'coach ' * 3} --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


def test_version_and_help():
    assert qdllm("--version").stdout.startswith("qdllm ")
    assert "distill" in qdllm("--help").stdout
    assert "no command" in refused()


def _file(folder, name, content):
    path = Path(folder) / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


BAD_DATA = {
    "missing": (None, "no such file"),
    "empty": (b"", "empty"),
    "no_column": (b"sentence,label\nx,a\n", "'text'"),
    "one_class": (b"text,label\nx,a\ny,a\nz,a\n", "one class"),
    "one_row_class": (b"text,label\nx,a\ny,a\nz,b\n", "'b' has one row"),
    "not_utf8": ("text,label\n日本,a\n犬,b\n".encode("cp932"), "--encoding"),
    "nul": (b"text,label\nx\x00y,a\nz,b\n", "NUL"),
    "huge": (b"text,label\n" + b"x" * 1_000_000 + b",a\ny,b\n", "row 1"),
    "empty_text": (b"text,label\nx,a\n,b\n", "row 2"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_refused_in_one_line(tmp_path, case):
    content, says = BAD_DATA[case]
    path = tmp_path / f"{case}.csv" if content is None else _file(tmp_path, f"{case}.csv", content)
    line = refused("distill", path, "--teacher", "none", "--encoder", "tfidf", "--out", tmp_path / "run")
    assert says in line
    assert path.name in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--alpha", "1.5"), "alpha"),
        (("--temperature", "0"), "temperature"),
        (("--qubits", "0"), "n_qubits"),
        (("--qubits", "40"), "40 qubits"),
        (("--angles", "amplitude"), "encoding"),
        (("--epochs", "many"), "--epochs"),
        (("--bogus",), "--bogus"),
        (("--encoder", "tfidf+ngrams"), "stands alone"),
        (("--config", "nowhere.toml"), "nowhere.toml"),
        (("--labels", "nowhere.parquet"), "nowhere.parquet"),
        (("--features", "nowhere.parquet"), "nowhere.parquet"),
    ],
)
def test_bad_options_are_refused_in_one_line(tmp_path, data, options, says):
    base = ("distill", data, "--teacher", "none", "--out", tmp_path / "run")
    base = base if "--encoder" in options else (*base, "--encoder", "tfidf")
    assert says in refused(*base, *options)


def test_a_config_with_an_unknown_field_is_refused_by_name(tmp_path, data):
    config = _file(tmp_path, "c.toml", "[student]\nqbits = 3\n")
    assert "student.qbits" in refused("distill", data, "--config", config, "--out", tmp_path / "run")


def test_something_else_in_the_out_folder_is_left_alone(tmp_path, data):
    _file(tmp_path, "precious.txt", "x")
    assert "something else" in refused(
        "distill", data, "--teacher", "none", "--encoder", "tfidf", "--out", tmp_path
    )
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_soft_labels_that_do_not_fit_are_refused(tmp_path, data, soft_labels):
    good = SoftLabels.read(soft_labels)
    table = pq.read_table(soft_labels)
    wrong_sum = tmp_path / "sum.parquet"
    pq.write_table(table.set_column(1, "p:market", [[0.9] * len(table)]), wrong_sum)
    renamed = tmp_path / "renamed.parquet"
    SoftLabels(good.row_ids, ("market", "weather"), good.probabilities).write(renamed)
    short = tmp_path / "short.parquet"
    pq.write_table(table.slice(0, 10), short)
    base = ("distill", data, "--encoder", "tfidf", "--out", tmp_path / "run")
    assert "sum" in refused(*base, "--labels", wrong_sum)
    assert "weather" in refused(*base, "--labels", renamed)
    assert "row" in refused(*base, "--labels", short)


@pytest.mark.parametrize("option", ["--labels", "--teacher"])
def test_a_teacher_that_has_seen_test_rows_is_refused(tmp_path, data, soft_labels, option):
    good = SoftLabels.read(soft_labels)
    leaky = tmp_path / "leaky.parquet"
    parts = np.full(len(good.row_ids), "train")
    SoftLabels(good.row_ids, good.classes, good.probabilities, parts).write(leaky)
    line = refused("distill", data, "--encoder", "tfidf", "--out", tmp_path / "run", option, leaky)
    assert "40 rows that are test rows here" in line


def test_a_teacher_that_saw_other_labels_is_refused(tmp_path, data, soft_labels):
    good = SoftLabels.read(soft_labels)
    rich = tmp_path / "rich.parquet"
    SoftLabels(good.row_ids, good.classes, good.probabilities, meta={"labels_per_class": None}).write(rich)
    base = ("distill", data, "--encoder", "tfidf", "--out", tmp_path / "run", "--labels", rich)
    assert "saw all labels a class, this run shows 5" in refused(*base, "--labels-per-class", 5)


def test_a_teacher_that_saw_the_labels_of_another_seed_is_refused(tmp_path, data, soft_labels):
    good = SoftLabels.read(soft_labels)
    other = tmp_path / "other.parquet"
    meta = {"labels_per_class": 5, "seed": 1}
    SoftLabels(good.row_ids, good.classes, good.probabilities, meta=meta).write(other)
    base = ("distill", data, "--encoder", "tfidf", "--out", tmp_path / "run", "--labels", other)
    assert "label with the same --seed" in refused(*base, "--labels-per-class", 5)


def test_a_folder_in_the_place_of_a_file_is_said_in_one_line(run, tmp_path):
    done = qdllm("export", run, "--out", tmp_path, expect=1)
    assert done.stderr.splitlines() == [f"qdllm: {tmp_path}: cannot be read or written (Is a directory)"]


def test_features_of_an_encoder_fitted_on_other_rows_are_refused(tmp_path, data):
    features = tmp_path / "f.parquet"
    qdllm("embed", data, "--seed", 1, "--encoder", "tfidf", "--out", features, "--quiet")
    line = refused("distill", data, "--teacher", "none", "--features", features, "--out", tmp_path / "run")
    assert "fitted on other training rows" in line


def test_labels_unknown_to_the_student_are_refused(run, tmp_path):
    data = _file(tmp_path, "d.csv", "text,label\ngoal,sport\nrain,weather\n")
    assert "row 2: label 'weather'" in refused("evaluate", run, data)


def test_nan_features_are_refused(tmp_path, data, soft_labels):
    import pyarrow as pa

    ids = SoftLabels.read(soft_labels).row_ids
    x = [[0.0, 1.0] for _ in ids]
    x[6] = [float("nan"), 1.0]
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"row_id": list(ids), "x": pa.array(x, pa.list_(pa.float32()))}), path)
    line = refused("distill", data, "--teacher", "none", "--features", path, "--out", tmp_path / "run")
    assert "row 7" in line


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "encoder/config.json"])
def test_a_damaged_student_is_refused(run, tmp_path, name):
    broken = tmp_path / "student"
    shutil.copytree(run / "student", broken)
    content = (broken / name).read_bytes()
    (broken / name).write_bytes(content[: len(content) // 2])
    assert name.split("/", maxsplit=1)[0] in refused("predict", broken, "goal")


def test_no_run_where_one_is_asked_for(tmp_path):
    assert "no such folder" in refused("predict", tmp_path / "nowhere", "goal")
    assert "neither" in refused("predict", tmp_path, "goal")


def test_japanese_from_end_to_end(tmp_path):
    sport = ["野球の試合で勝った", "サッカーの選手が走る", "監督が試合を語る", "選手が優勝した"]
    food = ["寿司を食べたい", "ラーメンが美味しい", "料理を作る夕方", "美味しい味噌汁"]
    rows = [
        f"{text}{i},{name}"
        for i in range(12)
        for name, texts in (("運動", sport), ("食", food))
        for text in texts
    ]
    data = _file(tmp_path, "d.csv", ("text,label\n" + "\n".join(rows) + "\n").encode("cp932"))
    options = ("--teacher", "none", "--encoding", "cp932", "--out", tmp_path / "run", *OPTIONS)
    qdllm("distill", data, *options)
    found = json.loads(qdllm("predict", tmp_path / "run", "選手の試合", "美味しい料理", "--json").stdout)
    assert [row["label"] for row in found] == ["運動", "食"]


def test_a_missing_extra_names_itself(tmp_path, data):
    script = "import sys; sys.modules['transformers'] = None; from qdllm.cli import main; main()"
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    arguments = ["distill", data, "--teacher", "none", "--encoder", model, "--out", tmp_path / "run"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "qdllm[llm]" in done.stderr


def test_inspect_tells_and_draws(tmp_path):
    shown = qdllm("inspect", "qd_llm", "--qubits", 3, "--layers", 1).stdout
    assert "3 qubits, 3 inputs" in shown
    assert "q0: ─RX(x_0)" in shown
    report = json.loads(qdllm("inspect", "brick", "--json", "--out", tmp_path / "brick.txt").stdout)
    assert report["n_parameters"] == 32
    assert "RZZ(l0_zz0)" in (tmp_path / "brick.txt").read_text()
    assert {"engine", "kernel"} <= set(json.loads(qdllm("inspect", "--engine", "--json").stdout))


def test_inspect_refuses_what_it_does_not_know():
    assert "neither a folder nor an ansatz" in refused("inspect", "nothing")
    assert "at least 1" in refused("inspect", "qd_llm", "--qubits", 0)
    assert "or --engine" in refused("inspect")
