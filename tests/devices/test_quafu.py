"""The Quafu adapter against a server of our own, and the jobs that it survives."""

import numpy as np
import pytest

from qdllm.devices import CircuitBatch, JobRunner, lower, make_backend
from qdllm.errors import BackendError, ConfigError, CredentialsError
from qdllm.files import read_json

from .quafu_server import KEY, QuafuServer
from .small_chips import bound_student, line

pytest.importorskip("quafu")


@pytest.fixture
def server(monkeypatch):
    from quafu import _limits

    found = QuafuServer()
    monkeypatch.setenv("QUAFU_BASE_URL", found.url)
    monkeypatch.setenv("QUAFU_API_KEY", KEY)
    monkeypatch.setattr("quafu.client.BACKOFF_FIRST", 0.01)
    _limits.clear_cache()
    yield found
    found.close()


@pytest.fixture
def batch():
    lowered = lower(bound_student(n_qubits=4, ansatz="brick"))
    angles = lowered.angles(np.random.default_rng(0).normal(size=(6, 4)))[:, 0]
    return CircuitBatch(lowered.circuit, angles, (1, 2, 3, 4))


def runner(tmp_path, **options):
    backend = make_backend("quafu:Baihua", tmp_path / "jobs", **options)
    assert isinstance(backend, JobRunner)
    backend._sleep = lambda seconds: None
    return backend


def records(tmp_path):
    return [read_json(path) for path in (tmp_path / "jobs").glob("*.json")]


def test_circuits_are_sent_compiled_on_the_chips_own_numbers(server, batch, tmp_path):
    counts = runner(tmp_path).run(batch, [1024] * 6, seed=0)
    assert [(c.states.tolist(), c.shots) for c in counts] == [([1], 1024)] * 6  # bit 0 is wire 0
    (headers, body), (_, second) = server.requests
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert (body["target"], body["circuit_level"], body["shots"]) == ("Baihua", "physical", 1024)
    assert [len(body["circuits"]), len(second["circuits"])] == [4, 2]  # as many tasks as a job may have
    assert "measure q[1] -> c[0];" in body["circuits"][0]["qasm"]
    assert "cz q[1],q[2];" in body["circuits"][0]["qasm"]


def test_the_intent_is_on_disk_and_the_key_is_not(server, batch, tmp_path):
    runner(tmp_path).run(batch, [1024] * 6, seed=0)
    for record in records(tmp_path):
        assert record["state"] == "done"
        assert record["layout"] == [1, 2, 3, 4]
        assert record["calibration"].startswith("Baihua-")
        assert len(record["circuits"]) == len(record["shots"]) == len(record["counts"])
    assert all(KEY not in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_a_second_run_pays_nothing(server, batch, tmp_path):
    first = runner(tmp_path).run(batch, [1024] * 6, seed=0)
    again = runner(tmp_path).run(batch, [1024] * 6, seed=0)
    assert len(server.requests) == 2
    assert [c.to_keys(4) for c in first] == [c.to_keys(4) for c in again]
    runner(tmp_path).run(batch, [1024] * 6, seed=1)  # a repetition is another job
    assert len(server.jobs) == 4


def test_an_answer_that_is_cut_off_is_not_paid_twice(server, batch, tmp_path):
    server.cut_answers = 2
    runner(tmp_path).run(batch, [1024] * 6, seed=0)
    assert len(server.requests) == 4
    assert len(server.jobs) == 2


def test_a_long_queue_is_waited_for(server, batch, tmp_path):
    server.polls_until_done = 5
    assert len(runner(tmp_path).run(batch, [1024] * 6, seed=0)) == 6


def test_a_queue_that_is_too_long_is_left_for_later(server, batch, tmp_path):
    server.polls_until_done = 10**6
    waiting = runner(tmp_path)
    waiting.patience = 10.0
    with pytest.raises(BackendError, match="still waiting; the same command asks again later"):
        waiting.run(batch, [1024] * 6, seed=0)
    server.polls_until_done = 0
    assert len(runner(tmp_path).run(batch, [1024] * 6, seed=0)) == 6
    assert len(server.jobs) == 2


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("login", CredentialsError, "QUAFU_API_KEY was refused"),
        ("quota", BackendError, "quafu:Baihua"),
        ("lost", BackendError, "quafu:Baihua"),
        ("failed", BackendError, "failed: runtime.chip"),
        ("malformed", BackendError, "malformed counts: '2222'"),
    ],
)
def test_faults_of_a_job_are_one_clear_error(server, batch, tmp_path, fault, error, message):
    chip = runner(tmp_path)
    server.fault = fault
    with pytest.raises(error, match=message):
        chip.run(batch, [1024] * 6, seed=0)
    if fault in ("login", "quota"):
        assert not server.jobs
        assert {record["state"] for record in records(tmp_path)} == {"planned"}


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("offline", BackendError, "is offline: nothing was submitted"),
        ("down", BackendError, "cannot be reached"),
    ],
)
def test_a_chip_or_service_that_is_down_is_said_before_anything_is_sent(
    server, tmp_path, fault, error, message
):
    server.fault = fault
    with pytest.raises(error, match=message):
        runner(tmp_path)


def test_a_missing_key_is_named(server, tmp_path, monkeypatch):
    monkeypatch.delenv("QUAFU_API_KEY")
    with pytest.raises(CredentialsError, match="QUAFU_API_KEY is not set"):
        runner(tmp_path)


def test_wrong_requests_are_refused_before_anything_is_sent(server, batch, tmp_path):
    chip = runner(tmp_path)
    with pytest.raises(ConfigError, match="multiples of 1024 shots up to 8192, not 64"):
        chip.run(batch, [64] * 6, seed=0)
    far = CircuitBatch(batch.circuit, batch.angles, (4, 5, 6, 7))
    with pytest.raises(ConfigError, match="has 6 qubits, the circuits need qubit 7"):
        chip.run(far, [1024] * 6, seed=0)
    assert not server.requests


def test_the_calibration_is_read_and_a_missing_figure_named(server, tmp_path):
    chip = runner(tmp_path)
    found = chip.calibration()
    assert found.qubits[1].read_1_as_0 == pytest.approx(line(6).qubits[1].read_1_as_0)
    assert found.usable() == pytest.approx(line(6).usable())
    assert found.measured
    server.fault = "no_t1"
    with pytest.raises(ConfigError, match="qubit 2: the calibration has no t1_us"):
        chip.calibration()
