"""`qdllm search` as a user calls it."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from qdllm import Student
from qdllm.data import TextDataset
from qdllm.files import read_json
from qdllm.teachers import SoftLabels

from .test_cli import qdllm, refused

pytest.importorskip("optuna")

WORDS = {"sport": "match team goal season player", "market": "shares profit bank oil price"}
OPTIONS = ("--teacher", "none", "--encoder", "tfidf", "--quiet")


def _write_csv(path, n, seed, *, lie=False):
    """Texts of two topics, mostly of words of one; where `lie`, each under the name of the other."""
    rng = np.random.default_rng(seed)
    lines = ["text,label"]
    for i in range(n):
        name, other = list(WORDS) if i % 2 else reversed(WORDS)
        own, strange = WORDS[name].split(), WORDS[other].split()
        text = " ".join([*rng.choice(own, 3), *rng.choice(strange, 2)])
        lines.append(f"{text} no {i + 1000 * seed},{other if lie else name}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def data(folder):
    return _write_csv(folder / "data.csv", 120, 1)


@pytest.fixture(scope="module")
def test_data(folder):
    return _write_csv(folder / "test.csv", 40, 2)


@pytest.fixture(scope="module")
def config(folder):
    path = folder / "small.toml"
    path.write_text("[student]\nepochs = 3\nn_layers = 1\n")
    return path


@pytest.fixture(scope="module")
def out(folder, data, test_data, config):
    out = folder / "out"
    qdllm("search", data, "--test", test_data, "--config", config, "--out", out, "--trials", 5, *OPTIONS)
    return out


def test_a_search_leaves_a_front_a_config_and_a_page(out):
    assert {p.name for p in out.iterdir() if not p.name.startswith(".")} == {
        "config.toml",
        "front.json",
        "search.md",
        "study.db",
    }
    found = read_json(out / "front.json")
    assert found["schema"] == {"name": "qdllm.search", "version": 1}
    assert found["trials"]["finished"] == 5
    assert found["trials"]["trained"] == len(found["candidates"])
    assert found["chosen"] in found["front"]
    assert found["fixed"] == {"epochs": 3, "n_layers": 1}
    assert found["paper"]["two_qubit_gates"] == 35
    assert found["final"]["seeds"] == [0, 1, 2]
    assert found["final"]["test"]["rows"] == 40
    page = (out / "search.md").read_text()
    for formula in found["final"]["formulas"].values():
        assert formula["max_error"] <= 0.01
        assert min(formula["size"].values()) >= 1
        assert f", within {formula['max_error']:.2g} |" in page
    assert f"**{found['chosen']['trial']}**" in page
    assert "95 %" in page


def test_distill_takes_the_config_as_it_is_and_gives_the_chosen_student(out, data, folder):
    run = folder / "run"
    qdllm("distill", data, "--config", out / "config.toml", "--out", run, "--quiet")
    chosen = read_json(out / "front.json")["chosen"]
    assert Student.from_pretrained(run / "student").get_params().items() >= chosen["design"].items()
    metrics = read_json(run / "metrics.json")
    assert metrics["student"]["validation"]["accuracy"] == pytest.approx(chosen["accuracy"], abs=1e-12)
    assert metrics["parameters"]["trained"] == chosen["parameters"]


def test_no_test_label_has_a_say_in_the_search(out, data, config, folder):
    """With every test label wrong the same designs are found, and every test hit is a miss."""
    lies = _write_csv(folder / "lies.csv", 40, 2, lie=True)
    misled = folder / "misled"
    arguments = ("--test", lies, "--config", config, "--out", misled, "--trials", 5, "--json", *OPTIONS)
    found = json.loads(qdllm("search", data, *arguments).stdout)
    before = read_json(out / "front.json")
    assert found["candidates"] == before["candidates"]
    assert found["chosen"] == before["chosen"]
    assert found["final"]["validation"] == before["final"]["validation"]
    for name in ("chosen", "paper"):
        right, wrong = before["final"]["test"][name]["value"], found["final"]["test"][name]["value"]
        assert right + wrong == pytest.approx(1)


def test_the_same_command_does_nothing_twice_and_more_trials_are_added(
    out, data, test_data, config, monkeypatch
):
    arguments = ("--test", test_data, "--config", config, "--out", out, *OPTIONS)
    before = read_json(out / "front.json")
    with monkeypatch.context() as patch:
        patch.setattr(Student, "fit", None)
        qdllm("search", data, *arguments, "--trials", 5)
    assert read_json(out / "front.json") == before
    qdllm("search", data, *arguments, "--trials", 6)
    after = read_json(out / "front.json")
    assert after["trials"]["finished"] == 6
    assert after["candidates"][: len(before["candidates"])] == before["candidates"]


def test_after_ctrl_c_the_same_command_goes_on(data, config, tmp_path):
    out = tmp_path / "out"
    # A job in the background of a shell inherits a deaf ear for SIGINT.
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    script += "from qdllm.cli import main; main()"
    command = [sys.executable, "-c", script, "search", data, "--config", config, "--out", out]
    command += [*OPTIONS[:-1], "--trials", 500]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "trial 1:" in line:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1] == (
        "qdllm: interrupted; the same command goes on where this one stopped"
    )
    qdllm("search", data, "--config", config, "--out", out, *OPTIONS, "--trials", 2)
    found = read_json(out / "front.json")
    assert found["trials"]["finished"] >= 2
    assert found["trials"]["interrupted"] <= 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--trials", 0), "trials is 0"),
        (("--timeout", 0), "timeout is 0.0"),
        (("--seed", 1), "study.db: the search in it differs in its seed"),
    ],
)
def test_bad_requests_are_refused_in_one_line(out, data, test_data, config, options, says):
    base = ("search", data, "--test", test_data, "--config", config, "--out", out)
    assert says in refused(*base, *OPTIONS, *options)


def test_a_search_of_other_texts_is_refused(out, test_data, config, tmp_path):
    other = _write_csv(tmp_path / "other.csv", 120, 3)
    line = refused("search", other, "--test", test_data, "--config", config, "--out", out, *OPTIONS)
    assert "study.db: the search in it differs in its data, labels or features" in line


def test_a_place_that_cannot_hold_a_search_is_refused(data, tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    base = ("search", data, *OPTIONS, "--out")
    assert "something else than a search" in refused(*base, tmp_path)
    assert "cannot be written" in refused(*base, tmp_path / "notes.txt")
    assert "cannot be written" in refused(*base, tmp_path / "notes.txt" / "below")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_texts_without_labels_are_searched_by_agreement_with_the_teacher(data, config, tmp_path):
    lines = data.read_text().splitlines()
    texts, names = zip(*(line.rsplit(",", 1) for line in lines[1:]), strict=True)
    path, labels = tmp_path / "texts.csv", tmp_path / "labels.parquet"
    path.write_text("\n".join(["text", *texts]) + "\n")
    soft = np.array([[0.9, 0.1] if name == "market" else [0.2, 0.8] for name in names])
    SoftLabels(TextDataset.from_lists(texts).row_ids, ("market", "sport"), soft).write(labels)
    out = tmp_path / "out"
    options = ("--encoder", "tfidf", "--labels", labels, "--config", config, "--trials", 1, "--quiet")
    found = json.loads(qdllm("search", path, "--out", out, *options, "--json").stdout)
    assert found["rows"]["validation_labelled"] == 0
    assert found["rows"]["compared_on"] == found["rows"]["validation"] > 0
    assert found["final"]["test"] is None
    page = (out / "search.md").read_text()
    assert "agreement with the teacher" in page
    assert "no labels" in page


def test_texts_without_labels_and_teacher_are_refused(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("text\n" + "\n".join(f"text number {i}" for i in range(40)) + "\n")
    assert "neither a teacher nor a label" in refused("search", path, "--out", tmp_path / "out", *OPTIONS)


def test_a_config_that_leaves_nothing_open_is_refused(out, data, tmp_path):
    line = refused("search", data, "--config", out / "config.toml", "--out", tmp_path / "out", *OPTIONS)
    assert "sets every field" in line
