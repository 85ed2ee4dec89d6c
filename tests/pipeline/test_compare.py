"""`qdllm compare` as a user calls it, and the splits that it is made of."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from qdllm.data import TextDataset
from qdllm.errors import DataError
from qdllm.models import preferred_device
from qdllm.pipeline import RunFolder
from qdllm.pipeline.splits import make_task
from qdllm.teachers import SoftLabels

from .test_cli import _write_csv, qdllm, refused

CHEAP = ("--seeds", 2, "--budget", 2, "--workers", 1, "--quiet")
TIMES = ("cpu_seconds", "microseconds", "megabytes")
CONTROLS = [
    "paper",
    "frozen-circuit",
    "no-entanglement",
    "no-circuit",
    "no-teacher",
    "mlp",
    "svm",
    "random-fourier",
    "logistic-regression",
]


def timeless(found):
    """Without what is another at every measurement."""
    if isinstance(found, dict):
        return {k: timeless(v) for k, v in found.items() if not any(word in k for word in TIMES)}
    return [timeless(value) for value in found] if isinstance(found, list) else found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def data(folder):
    """Two topics, a fifth of the labels wrong: nobody is perfect."""
    path = _write_csv(folder / "data.csv", 240, 1)
    lines = path.read_text().splitlines()
    rng = np.random.default_rng(0)
    for i in rng.choice(np.arange(1, len(lines)), 48, replace=False):
        text, name = lines[i].rsplit(",", 1)
        lines[i] = f"{text},{'sport' if name == 'market' else 'market'}"
    path.write_text("\n".join(lines) + "\n")
    return path


def _soft_labels(data, path, part=None):
    rows = [line.rsplit(",", 1) for line in data.read_text().splitlines()[1:]]
    probabilities = np.array([[0.9, 0.1] if label == "market" else [0.2, 0.8] for _, label in rows])
    ids = TextDataset.from_lists([text for text, _ in rows]).row_ids
    SoftLabels(ids, ("market", "sport"), probabilities, part).write(path)
    return path


def _distill(data, out, *options, more=""):
    config = out.with_suffix(".toml")
    student = "[student]\nepochs = 8\nn_qubits = 3\nn_layers = 1\ndropout = 0.1\nweight_decay = 0.1\n"
    config.write_text(student + more)
    qdllm("distill", data, "--encoder", "tfidf", "--config", config, "--out", out, "--quiet", *options)
    return out


@pytest.fixture(scope="module")
def run(folder, data):
    return _distill(data, folder / "run", "--labels", _soft_labels(data, folder / "labels.parquet"))


@pytest.fixture(scope="module")
def untaught(folder, data):
    """A run without a teacher, whose test rows are redrawn."""
    return _distill(data, folder / "untaught", "--teacher", "none")


@pytest.fixture(scope="module")
def found(run):
    printed = json.loads(qdllm("compare", run, "--json", *CHEAP).stdout)
    assert printed == json.loads((run / "compare.json").read_text())
    return printed


def test_the_student_stands_beside_every_control(run, found):
    assert list(found["contenders"]) == ["student", *CONTROLS]
    assert {(row["contender"], row["seed"]) for row in found["results"]} == {
        (name, seed) for name in ["student", *CONTROLS] for seed in (0, 1)
    }
    assert all(row["status"] == "done" for row in found["results"])
    assert not found["test_rows_redrawn"]  # the file does not say what its teacher has learned from
    assert found["seeds"] == [0, 1]
    assert found["rows"] == {"train": 156, "validation": 36, "test": 48}
    assert [entry["minus"] for entry in found["differences"]] == CONTROLS


def test_what_it_writes(run, found):
    table = pq.read_table(run / "compare.parquet").to_pylist()
    assert [row["accuracy"] for row in table] == [row["measures"]["accuracy"] for row in found["results"]]
    page = (run / "compare.md").read_text()
    first = page.split("\n\n")[1]
    assert "has the highest mean accuracy" in first
    assert "The circuit" in first
    assert "entanglement" in first
    for name in CONTROLS:
        assert f"| {name} |" in page


def test_the_encoder_is_measured(found):
    assert found["encoder"]["name"] == "tfidf"
    costs = found["results"][0]["costs"]
    assert costs["bytes_with_encoder"] == costs["bytes"] + found["encoder"]["n_bytes"]
    assert costs["microseconds_1_with_encoder"] > costs["microseconds_1"]
    assert costs["parameters_with_encoder"] > costs["parameters"] == costs["trained"]


def test_the_first_split_and_setting_are_the_runs_own(run):
    metrics = json.loads((run / "metrics.json").read_text())
    only = ("--only", "student", "--seeds", 1, "--budget", 1, "--workers", 1)
    row = json.loads(qdllm("compare", run, *only, "--json").stdout)["results"][0]
    assert row["measures"]["accuracy"] == metrics["student"]["test"]["accuracy"]
    assert row["measures"]["validation_accuracy"] == metrics["student"]["validation"]["accuracy"]
    assert row["costs"]["trained"] == metrics["parameters"]["trained"]


def test_a_call_for_less_or_more_makes_only_what_is_missing(run, found):
    fits = run / "compare" / "fits"
    before = {path: path.stat().st_mtime_ns for path in fits.iterdir()}
    less = json.loads(qdllm("compare", run, "--only", "mlp", *CHEAP, "--json").stdout)
    assert list(less["contenders"]) == ["student", "mlp"]
    assert {path: path.stat().st_mtime_ns for path in fits.iterdir()} == before
    again = json.loads(qdllm("compare", run, *CHEAP, "--json").stdout)
    assert again["results"] == found["results"]


def test_shown_as_a_table(run, found):
    shown = qdllm("compare", run, *CHEAP).stdout
    assert "logistic-regression" in shown
    assert "has the highest mean accuracy" in " ".join(shown.split())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_comparison_goes_on_where_it_stopped(data, folder, found, how):
    """Begun in two processes, ended in one: the outcome is that of a comparison made in one go."""
    other = _distill(data, folder / how.name, "--labels", folder / "labels.parquet")
    few = ("--only", "no-circuit,mlp,svm")
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    script += "from qdllm.cli import main; main()"
    command = [sys.executable, "-c", script, "compare", other, *few, *CHEAP[:4], "--workers", 2, "--quiet"]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    fits, deadline = other / "compare" / "fits", time.monotonic() + 120
    while len(list(fits.glob("*.safetensors"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = _children(process.pid)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert said.splitlines() == ["qdllm: interrupted; the same command goes on where this one stopped"]
    assert not (other / "compare.json").exists()
    assert len(workers) >= 2
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    kept = {path: path.stat().st_mtime_ns for path in fits.glob("*.safetensors")}
    resumed = json.loads(qdllm("compare", other, *few, *CHEAP, "--json").stdout)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    straight = [row for row in found["results"] if row["contender"] in resumed["contenders"]]
    assert timeless(resumed["results"]) == timeless(straight)


def _children(pid):
    """Worker processes; the one that tracks shared resources ends by itself."""
    if not Path("/proc").is_dir():
        pytest.skip("processes are looked up in /proc")
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                command = (entry / "cmdline").read_text()
            except OSError:
                continue
            if fields[1] == str(pid) and "resource_tracker" not in command:
                found.append(int(entry.name))
    return found


def test_fewer_rows_for_all(run):
    options = ("--only", "logistic-regression", "--rows", 40, "--seeds", 1, "--budget", 1, "--workers", 1)
    assert json.loads(qdllm("compare", run, *options, "--json").stdout)["rows"]["train"] == 40


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--seeds", 0), "seeds is 0"),
        (("--budget", 0), "budget is 0"),
        (("--rows", 0), "rows is 0"),
        (("--workers", 0), "workers is 0"),
        (("--workers", 2, "--ray", "local"), "give one of the two"),
        (("--with", "friends"), "no group 'friends'"),
        (("--only", "mlp,svn"), "no contender 'svn'"),
    ],
)
def test_bad_options_are_refused_in_one_line(run, options, says):
    assert says in refused("compare", run, *options)


def test_what_is_no_finished_run_is_refused(tmp_path):
    assert "not a finished run" in refused("compare", tmp_path / "nowhere")


def test_changed_data_are_refused(tmp_path, data):
    copy = tmp_path / "data.csv"
    copy.write_text(data.read_text())
    out = _distill(copy, tmp_path / "run", "--teacher", "none")
    copy.write_text(data.read_text() + "one more goal,sport\n")
    assert "other rows than when this run was made" in refused("compare", out, *CHEAP)
    lines = data.read_text().splitlines()
    was, now = ("sport", "market") if lines[1].endswith(",sport") else ("market", "sport")
    copy.write_text("\n".join([lines[0], lines[1].removesuffix(was) + now, *lines[2:]]) + "\n")
    assert "other labels than when this run was made" in refused("compare", out, *CHEAP)


def test_nothing_to_choose_settings_by_is_refused(tmp_path, data):
    """Visible labels are training rows' where they are few; without a teacher no validation row has any."""
    out = _distill(data, tmp_path / "run", "--teacher", "none", "--labels-per-class", 8)
    assert "no validation row has a label or a teacher" in refused("compare", out, *CHEAP)


def test_models_of_ones_own_stand_beside_those_named(run, tiny_bert):
    """All learn from no more rows than a transformer on a CPU can bear, if any is among them."""
    options = ("--only", "logistic-regression", "--model", tiny_bert, "--seeds", 1, "--budget", 3)
    found = json.loads(qdllm("compare", run, *options, "--workers", 1, "--json").stdout)
    assert list(found["contenders"]) == ["student", "logistic-regression", f"hf:{tiny_bert}"]
    on_cpu = preferred_device().type == "cpu"
    assert found["budget"] == (2 if on_cpu else 3)
    assert {about["settings"] for about in found["contenders"].values()} == {found["budget"]}


def test_a_damaged_file_of_the_encoders_costs_is_measured_anew(untaught):
    options = ("--only", "logistic-regression", "--seeds", 1, "--budget", 1, "--workers", 1, "--json")
    first = json.loads(qdllm("compare", untaught, *options).stdout)["encoder"]
    kept = untaught / "compare" / "encoder.json"
    for damage in ("{", "[]", "{}", json.dumps({"fingerprint": first["fingerprint"]})):
        kept.write_text(damage)
        again = json.loads(qdllm("compare", untaught, *options).stdout)["encoder"]
        assert again["n_bytes"] == first["n_bytes"]
        assert again["microseconds"].keys() == first["microseconds"].keys()
        assert json.loads(kept.read_text()) == again


# ---- splits


def _parts(task):
    return {part: set(task.take(part).texts) for part in ("train", "validation", "test")}


def test_split_0_is_the_runs_own_and_others_are_new(untaught):
    own, other = make_task(RunFolder(untaught), 0), make_task(RunFolder(untaught), 1)
    split = pq.read_table(untaught / "split.parquet").to_pydict()
    assert own.part.tolist() == split["part"]
    assert _parts(own)["test"] != _parts(other)["test"]
    assert {part: len(rows) for part, rows in _parts(own).items()} == {
        part: len(rows) for part, rows in _parts(other).items()
    }
    assert make_task(RunFolder(untaught), 1).digest == other.digest


def test_a_fitted_encoder_is_fitted_on_each_splits_own_rows(run):
    own, other = make_task(RunFolder(run), 0), make_task(RunFolder(run), 1)
    assert own.rows.texts == other.rows.texts
    assert not np.array_equal(own.rows.x, other.rows.x)


def test_test_labels_are_for_scoring_alone(run):
    task = make_task(RunFolder(run), 1)
    test = task.part == "test"
    assert (task.rows.y[test] == -1).all()
    assert (task.truth[test] >= 0).all()
    assert (task.truth[~test] == -1).all()
    assert (task.rows.y[~test] >= 0).all()


def test_a_file_of_test_rows_stays(tmp_path, data):
    test = _write_csv(tmp_path / "test.csv", 60, 2)
    out = _distill(data, tmp_path / "run", "--test", test, "--teacher", "none")
    own, other = make_task(RunFolder(out), 0), make_task(RunFolder(out), 1)
    assert _parts(own)["test"] == _parts(other)["test"]
    assert _parts(own)["validation"] != _parts(other)["validation"]
    found = json.loads(qdllm("compare", out, "--only", "svm", *CHEAP, "--json").stdout)
    assert not found["test_rows_redrawn"]
    assert found["teacher"] is None


@pytest.mark.parametrize("told", [True, False])
def test_test_rows_stay_where_a_files_teacher_may_have_seen_the_others(tmp_path, data, told):
    first = _distill(data, tmp_path / "first", "--teacher", "none")
    split = pq.read_table(first / "split.parquet").to_pydict()
    part = dict(zip(split["row_id"], split["part"], strict=True))
    rows = [line.rsplit(",", 1)[0] for line in data.read_text().splitlines()[1:]]
    parts = np.array([part[row_id] for row_id in TextDataset.from_lists(rows).row_ids])
    labels = _soft_labels(data, tmp_path / "labels.parquet", parts if told else None)
    for options in (("--labels", labels), ("--teacher", labels)):
        out = _distill(data, tmp_path / options[0].strip("-"), *options)
        own, other = make_task(RunFolder(out), 0), make_task(RunFolder(out), 3)
        assert _parts(own)["test"] == _parts(other)["test"]
        assert _parts(own)["validation"] != _parts(other)["validation"]
        assert abs(len(_parts(own)["validation"]) - len(_parts(other)["validation"])) <= 1


def test_hidden_labels_stay_hidden_and_are_drawn_anew(tmp_path, data):
    out = _distill(data, tmp_path / "run", "--teacher", "none", "--labels-per-class", 8)
    shown = []
    for number in (0, 1):
        task = make_task(RunFolder(out), number)
        assert np.bincount(task.rows.y[task.rows.y >= 0]).tolist() == [8, 8]
        assert (task.truth >= 0).sum() == (task.part == "test").sum()
        shown.append({task.rows.texts[i] for i in np.flatnonzero(task.rows.y >= 0)})
    assert shown[0] != shown[1]


def test_features_of_a_fitted_encoder_from_a_file_cannot_be_split_anew(tmp_path, data):
    features = tmp_path / "f.parquet"
    qdllm("embed", data, "--encoder", "tfidf", "--out", features, "--quiet")
    out = _distill(data, tmp_path / "run", "--teacher", "none", "--features", features)
    with pytest.raises(DataError, match="fitted on other training rows"):
        make_task(RunFolder(out), 1)
    found = json.loads(qdllm("compare", out, "--only", "svm", *CHEAP, "--json").stdout)
    assert {(row["seed"], row["status"]) for row in found["results"]} == {(0, "done"), (1, "failed")}


def test_the_teacher_is_asked_as_the_run_asked_it_and_fitted_anew(tmp_path, data, tiny_llama, fresh_cache):
    out = _distill(data, tmp_path / "run", "--teacher", tiny_llama, "--mode", "auto")
    own, other = make_task(RunFolder(out), 0), make_task(RunFolder(out), 1)
    asked, asked_again = own.about["teacher"], other.about["teacher"]
    assert asked["mode"] == asked_again["mode"]
    assert asked.get("layer") == asked_again.get("layer")
    assert (asked["seed"], asked_again["seed"]) == (0, 1)
    assert not np.array_equal(own.rows.soft, other.rows.soft)


def test_splits_share_the_budget_of_an_endpoint(tmp_path, data, fresh_cache, monkeypatch):
    """However many workers there are: what one split has spent counts for the next."""
    pytest.importorskip("urllib3")
    from ..teachers.endpoints.chat_server import serving  # noqa: TID252

    monkeypatch.delenv("QDLLM_API_KEY", raising=False)
    with serving() as server:
        words = ("--teacher", server.url, "--mode", "zero-shot")
        limit = "[teacher.endpoint]\nbudget_tokens = 23000\n"
        out = _distill(data, tmp_path / "run", *words, more=limit)
        once = server.tokens
        assert 8_000 < once < 11_000
        options = ("--only", "logistic-regression", "--seeds", 4, "--budget", 1, "--workers", 2, "--quiet")
        found = json.loads(qdllm("compare", out, *options, "--json").stdout)
    assert server.tokens <= 23_000
    reasons = {row["seed"]: row["reason"] for row in found["results"] if row["contender"] == "student"}
    assert reasons[0] is reasons[1] is None
    assert "the budget of 23,000 tokens is used up" in reasons[3]
