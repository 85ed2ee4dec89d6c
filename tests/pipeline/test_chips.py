"""`qdllm run` as a user calls it, with right and wrong requests."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from qdllm.cli import main
from qdllm.devices import load_calibration
from qdllm.files import read_json

WORDS = {"sport": "match team goal season player coach", "market": "shares profit bank oil price stock"}


def write_rows(path, n, seed):
    rng = np.random.default_rng(seed)
    lines = ["text,label"]
    for i in range(n):
        name = list(WORDS)[i % 2]
        lines.append(f"{' '.join(rng.choice(WORDS[name].split(), 6))} no {i + 1000 * seed},{name}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the command line; return exit status, standard output and standard error."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["qdllm", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return stopped.value.code or 0, said.out, said.err

    return run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    from qdllm.pipeline import RunConfig, distill

    folder = tmp_path_factory.mktemp("chips")
    data = write_rows(folder / "all.csv", 120, 0)
    student = {"n_qubits": 4, "epochs": 80, "weight_decay": 0.1, "noise": {"chip": "baihua", "shots": 64}}
    config = RunConfig.from_toml(
        None,
        {
            "data": {"path": str(data)},
            "teacher": {"source": "none"},
            "encoder": {"source": "tfidf"},
            "student": student,
        },
    )
    distill(config, folder / "run", quiet=True)
    return folder / "run", write_rows(folder / "test.csv", 20, 1)


def test_exact_sampled_raw_and_mitigated_stand_side_by_side(run_folder, call):
    run, data = run_folder
    words = (
        "run",
        run,
        data,
        "--backend",
        "noisy:baihua",
        "--shots",
        256,
        "--adaptive",
        0.95,
        "--repeats",
        2,
        "--drifts",
        3,
    )
    status, out, _ = call(*words, "--zero-noise", "--json", "--quiet")
    assert status == 0
    found = json.loads(out)
    for name in ("exact", "sampled", "raw", "mitigated", "zero_noise", "adaptive"):
        assert (
            0 <= found[name]["accuracy_low"] <= found[name]["accuracy"] <= found[name]["accuracy_high"] <= 1
        )
        assert found[name]["rows"] == 20
    assert found["mitigated"]["z_rmse"] < found["raw"]["z_rmse"]
    assert found["exact"]["accuracy"] >= 0.8
    assert found["adaptive"]["mean_shots"] <= 256
    assert found["calibration"]["measured"] is False
    assert found["circuit"]["two_qubit_gates"] < found["circuit"]["two_qubit_gates_as_written"]
    assert len(found["repeats"]["mitigated"]) == 2
    assert len(found["drift"]["corrected_before"]) == len(found["drift"]["corrected_anew"]) == 3
    assert read_json(run / "devices" / f"{found['id']}.json") == found


def test_the_table_says_that_the_chip_is_simulated(run_folder, call):
    run, data = run_folder
    status, out, _ = call("run", run, data, "--rows", 6, "--shots", 64, "--quiet")
    assert status == 0
    said = " ".join(out.split())
    assert "6 rows, 64 shots each" in said
    assert "A simulated chip: calibration Baihua-2026-08" in said
    assert "reconstructed, not measured" in said


def test_a_chip_run_says_what_its_calibration_led_to_expect(run_folder, call):
    pytest.importorskip("qiskit_aer")
    run, data = run_folder
    status, out, _ = call(
        "run", run, data, "--rows", 4, "--shots", 64, "--backend", "aer:baihua", "--json", "-q"
    )
    assert status == 0
    assert "predicted" in json.loads(out)


def test_a_trained_for_chip_keeps_the_numbers_that_it_was_trained_with(run_folder):
    from qdllm import Student

    run, _ = run_folder
    noise = Student.from_pretrained(run / "student").noise
    assert noise["shots"] == 64
    assert all(0 < scale < 1.1 for scale in noise["scale"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--shots", "0"), "shots is 0: it must be at least 1"),
        (("--backend", "baihua"), "unknown backend 'baihua'"),
        (("--backend", "noisy:nowhere.json"), "no calibration 'nowhere.json'"),
        (("--backend", "quafu:Baihua"), "QUAFU_API_KEY is not set"),
        (("--layout", "0,1,50"), "the layout is disconnected: qubits 1 and 50"),
        (("--layout", "a,b"), "whole numbers separated by commas"),
        (("--adaptive", "2"), "the confidence is 2.0: it must be between 0.5 and 1"),
        (("--least-gain", "0"), "the least gain is 0.0: it must be above 0"),
        (("--first", "0"), "first is 0: it must be at least 1"),
        (("--rows", "0"), "rows is 0"),
        (("--tolerance", "-1"), "tolerance is -1.0"),
        (("--tolerance", "nan"), "tolerance is nan"),
        (("--backend", "statevector", "--drifts", "2"), "statevector has no calibration that could drift"),
        (("--seed", "-1"), "seed is -1: it must be at least 0"),
        (("--backend", "statevector", "--layout", "-1,0,1"), "the layout names qubit -1"),
        (
            ("--backend", "statevector", "--layout", "0,1,1"),
            "the layout names a qubit twice",
        ),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(run_folder, call, monkeypatch, words, message):
    monkeypatch.delenv("QUAFU_API_KEY", raising=False)
    if "quafu:Baihua" in words:
        pytest.importorskip("quafu")
    run, data = run_folder
    before = sorted(run.rglob("*"))
    status, out, err = call("run", run, data, *words)
    assert status == 2
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1
    assert sorted(run.rglob("*")) == before


def test_a_chip_costs_something_and_needs_yes(run_folder, call, monkeypatch):
    pytest.importorskip("quafu")
    from ..devices.quafu_server import KEY, QuafuServer  # noqa: TID252

    server = QuafuServer()
    monkeypatch.setenv("QUAFU_BASE_URL", server.url)
    monkeypatch.setenv("QUAFU_API_KEY", KEY)
    run, data = run_folder
    words = ("run", run, data, "--backend", "quafu:Baihua", "--rows", 2, "--quiet")
    status, _, err = call(*words)
    assert status == 2
    assert "quafu:Baihua is a chip" in err
    assert "give --yes to run them. Nothing was sent" in err
    assert not server.requests
    status, out, _ = call(*words, "--yes", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["is_real"] is True
    assert found["jobs"] == list(server.jobs)
    assert found["calibration"]["measured"] is True
    assert found["shots"] == 2048  # two circuits a text, in steps of 1,024
    assert_within_estimate(found)
    assert KEY not in json.dumps(found)
    status, out, _ = call(
        *words, "--yes", "--json", "--shots", 4096, "--adaptive", 0.99, "--first", 2, "--zero-noise"
    )
    assert status == 0
    assert_within_estimate(json.loads(out))
    status, _, err = call(*words, "--yes", "--shots", 1024)
    assert status == 2
    assert "takes at least 2048 shots in multiples of 1024" in err
    server.close()


def assert_within_estimate(found):
    assert found["spent"]["circuits"] <= found["cost_estimate"]["circuits"]
    assert found["spent"]["shots"] <= found["cost_estimate"]["shots"]


def test_a_calibration_with_a_missing_field_is_named(run_folder, call, tmp_path):
    run, data = run_folder
    content = load_calibration("baihua").to_dict()
    del content["qubits"][7]["t2_us"]
    path = Path(tmp_path / "chip.json")
    path.write_text(json.dumps(content))
    status, _, err = call("run", run, data, "--backend", f"noisy:{path}")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "qubit 7: t2_us is None" in err


def test_a_chip_that_is_too_small_is_refused(run_folder, call, tmp_path):
    run, data = run_folder
    content = load_calibration("baihua").to_dict()
    content["qubits"], content["couplers"] = content["qubits"][:2], content["couplers"][:1]
    path = Path(tmp_path / "chip.json")
    path.write_text(json.dumps(content))
    status, _, err = call("run", run, data, "--backend", f"noisy:{path}")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "has 2 qubits, the student needs 3" in err


def test_it_calibrates_on_all_classes_of_data_sorted_by_class(tmp_path, monkeypatch):
    from qdllm.encoders import Features
    from qdllm.pipeline import RunFolder, chips
    from qdllm.pipeline.run_folder import write_table

    monkeypatch.setattr(chips, "to_angles", lambda student, x: x)
    folder, ids = RunFolder(tmp_path), tuple(f"{i:04d}" for i in range(2400))
    parts = ["train"] * 400 + ["validation"] * 2000
    write_table(folder.split, {"row_id": pa.array(ids), "part": pa.array(parts)})
    Features(ids, np.arange(2400, dtype=np.float32)[:, None]).write(folder.features)
    drawn = chips.calibration_angles(folder, None)
    assert len(np.unique(drawn)) == len(drawn) == 1024
    assert drawn.min() >= 400
    assert 5 < (drawn[:32] < 1400).sum() < 27
    assert np.array_equal(drawn, chips.calibration_angles(folder, None))
