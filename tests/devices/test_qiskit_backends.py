"""Qiskit's backends: fake ones, Braket's local simulator, and IBM's sampler on a fake chip."""

import time
import warnings
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from qdllm.devices import CircuitBatch, JobRunner, best_path, lower, make_backend
from qdllm.devices.batch import fold
from qdllm.errors import BackendError, ConfigError, CredentialsError
from qdllm.files import read_json
from qdllm.simulate import StatevectorSimulator

from .small_chips import bound_student

pytest.importorskip("qiskit")


@pytest.fixture
def lowered():
    return lower(bound_student(n_qubits=3, ansatz="brick"))


def batch_on(lowered, layout):
    angles = lowered.angles(np.random.default_rng(0).normal(size=(2, 3)))[:, 0]
    return CircuitBatch(lowered.circuit, angles, layout)


def distances(batch, counts):
    """Total variation distance of each circuit's outcomes from the exact probabilities."""
    exact = StatevectorSimulator(batch.circuit).probabilities(
        torch.as_tensor(batch.angles), torch.zeros(0, dtype=torch.float64)
    )
    found = [np.bincount(c.states, c.numbers, minlength=8) / c.shots for c in counts]
    return [0.5 * np.abs(f - e).sum() for f, e in zip(found, exact.numpy(), strict=True)]


def test_aer_without_errors_is_exact(lowered, tmp_path):
    pytest.importorskip("qiskit_aer")
    batch = batch_on(lowered, (0, 1, 2))
    backend = make_backend("aer:ideal", tmp_path)
    assert max(distances(batch, backend.run(batch, [20_000] * 2, seed=1))) < 0.03
    assert make_backend("aer:baihua", tmp_path).calibration().chip == "Baihua"


def test_a_fake_backend_runs_on_its_best_path(lowered, tmp_path):
    pytest.importorskip("qiskit_ibm_runtime")
    pytest.importorskip("qiskit_aer")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the fake backend's own files
        backend = make_backend("fake:manila", tmp_path)
        calibration = backend.calibration()
        path = best_path(calibration, lowered)
        batch = batch_on(lowered, path)
        counts = backend.run(batch, [4000] * 2, seed=1)
    assert calibration.measured
    assert len(calibration.qubits) == 5
    assert all((min(p), max(p)) in calibration.usable() for p in pairwise(path))
    assert max(distances(batch, counts)) < 0.15  # noisy, and the right way round
    assert [c.shots for c in counts] == [4000, 4000]


def test_a_folded_circuit_still_has_three_times_the_two_qubit_gates_when_qiskit_has_compiled_it(lowered):
    provider = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    from qdllm.devices.backends.qiskit_backend import transpiled

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chip = provider.FakeManilaV2()
        batch = batch_on(lowered, (0, 1, 2))
        folded = CircuitBatch(fold(batch.circuit), batch.angles, batch.layout)
        plain, thrice = (transpiled(b, chip, 0)[0].num_nonlocal_gates() for b in (batch, folded))
    assert plain > 0
    assert thrice == 3 * plain


def test_an_unknown_fake_backend_is_named(tmp_path):
    pytest.importorskip("qiskit_ibm_runtime")
    with pytest.raises(ConfigError, match="no fake backend 'nowhere'"):
        make_backend("fake:nowhere", tmp_path)


def test_brakets_local_simulator_is_exact(lowered, tmp_path):
    pytest.importorskip("qiskit_braket_provider", reason="the extra braket, over 1 GB, is not installed")
    backend = make_backend("braket:local", tmp_path)
    batch = batch_on(lowered, (0, 1, 2))
    assert backend.calibration() is None
    assert max(distances(batch, backend.run(batch, [4000] * 2, seed=1))) < 0.06


class Account:
    """IBM's service, with one chip that is a fake one, and jobs that run here."""

    def __init__(self, backend):
        self.chip = backend
        self.tags = {}

    def backend(self, name):
        if name != "ibm_manila":
            raise ValueError(f"No backend matches {name}\nlong advice")
        chip = self.chip
        chip.configuration().simulator = False
        return chip

    def jobs(self, job_tags, limit):
        return [job for tag, job in self.tags.items() if tag in job_tags][:limit]

    def job(self, name):
        for job in self.tags.values():
            if job.job_id() == name:
                return job
        raise ValueError("job not found")


def test_ibms_sampler_runs_jobs_that_are_found_by_their_tag(lowered, tmp_path):
    provider = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    pytest.importorskip("qiskit_aer")
    from qdllm.devices.backends.ibm_backend import IbmService

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        account = Account(provider.FakeManilaV2())
        service = IbmService("ibm_manila", account)
        batch = batch_on(lowered, best_path(service.calibration(), lowered))
        sampler, lose = service._sampler, [True]

        def losing_sampler(mode):
            """The account keeps the job under its tag; the first answer is lost."""
            made = sampler(mode=mode)
            run = made.run

            def run_and_lose(circuits, shots):
                job = run(circuits, shots=shots)
                (tag,) = made.options.environment.job_tags
                account.tags[tag] = job
                if lose.pop() if lose else False:
                    raise TimeoutError("no answer")
                return job

            made.run = run_and_lose
            return made

        service._sampler = losing_sampler
        runner = JobRunner(service, tmp_path, sleep=lambda seconds: time.sleep(seconds / 100))
        counts = runner.run(batch, [2000] * 2, seed=0)
        assert len(account.tags) == 1
        assert max(distances(batch, counts)) < 0.15
        with pytest.raises(BackendError, match="job gone is lost"):
            service.counts("gone", 3)
        with pytest.raises(ConfigError, match=r"ibm:ibm_nowhere: No backend matches ibm_nowhere$"):
            IbmService("ibm_nowhere", account)


def test_what_ibm_refuses_is_said_at_once_and_stays_planned(lowered, tmp_path):
    provider = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    from qiskit_ibm_runtime.api.exceptions import RequestsApiError
    from qiskit_ibm_runtime.exceptions import IBMRuntimeError

    from qdllm.devices.backends.ibm_backend import IbmService

    def refuse(circuits, shots):
        """Raise as the client does: of the request's error only the context is left."""
        tried.append(shots)
        try:
            raise RequestsApiError("quota exceeded", status_code=403)
        except RequestsApiError as error:
            raise IBMRuntimeError(f"Failed to run program: {error}") from None

    def refusing_sampler(mode):
        made = sampler(mode=mode)
        made.run = refuse
        return made

    tried = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        service = IbmService("ibm_manila", Account(provider.FakeManilaV2()))
        sampler, service._sampler = service._sampler, refusing_sampler
        batch = batch_on(lowered, best_path(service.calibration(), lowered))
        with pytest.raises(BackendError, match=r"ibm:ibm_manila refused: .*quota exceeded"):
            JobRunner(service, tmp_path, sleep=lambda seconds: None).run(batch, [2000] * 2, seed=0)
        assert tried == [2000]
        with pytest.raises(ConfigError, match="up to 100000, not 200000"):
            JobRunner(service, tmp_path).run(batch, [200_000] * 2, seed=0)
    assert {read_json(path)["state"] for path in tmp_path.glob("*.json")} == {"planned"}


class Job:
    """A job of IBM's that says what it is told to."""

    def __init__(self, status, counts=None):
        self._status, self._counts = status, counts

    def job_id(self):
        return "job"

    def status(self):
        if isinstance(self._status, Exception):
            raise self._status
        return self._status

    def result(self):
        register = SimpleNamespace(get_counts=lambda: self._counts)
        return [SimpleNamespace(data=SimpleNamespace(c=register))]


@pytest.fixture
def ibm():
    """A service on a fake chip, and the account that its jobs lie in."""
    provider = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    from qdllm.devices.backends.ibm_backend import IbmService

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        account = Account(provider.FakeManilaV2())
        yield IbmService("ibm_manila", account), account


@pytest.mark.parametrize(
    ("job", "error", "message"),
    [
        (Job("ERROR"), BackendError, "job job ended as ERROR"),
        (Job("CANCELLED"), BackendError, "job job ended as CANCELLED"),
        (Job("DONE", {"0x3": 5}), BackendError, "malformed counts: '0x3' is no outcome of 3 qubits"),
        (Job("DONE", {}), BackendError, "no counts came back"),
        (Job(OSError("connection reset")), ConnectionError, "connection reset"),
    ],
)
def test_faults_of_ibms_jobs_are_one_clear_error(ibm, job, error, message):
    service, account = ibm
    account.tags["ours"] = job
    with pytest.raises(error, match=message):
        service.counts("job", 3)


def test_a_job_in_ibms_queue_is_waited_for(ibm):
    service, account = ibm
    account.tags["ours"] = Job("QUEUED")
    assert service.counts("job", 3) is None
    account.tags["ours"] = Job("DONE", {"011": 5})
    (counts,) = service.counts("job", 3)
    assert (counts.states.tolist(), counts.shots) == ([3], 5)


def test_a_login_that_ibm_refuses_does_not_show_the_key(monkeypatch):
    runtime = pytest.importorskip("qiskit_ibm_runtime")
    from qdllm.devices.backends.ibm_backend import connect

    def refuse(**options):
        raise OSError(f"401: {options['token']} is no valid key\nRequest: {options}")

    monkeypatch.setenv("QISKIT_IBM_TOKEN", "SECRET\n")
    monkeypatch.setattr(runtime, "QiskitRuntimeService", refuse)
    with pytest.raises(CredentialsError, match="QISKIT_IBM_TOKEN was refused") as caught:
        connect()
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_key_is_named(tmp_path, monkeypatch):
    pytest.importorskip("qiskit_ibm_runtime")
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
    with pytest.raises(CredentialsError, match="QISKIT_IBM_TOKEN is not set"):
        make_backend("ibm:ibm_torino", tmp_path)


@pytest.mark.parametrize("name", ["", "noisy", "nowhere:1", "braket:sv1", "noisy:nowhere"])
def test_unknown_backends_are_refused(name, tmp_path):
    with pytest.raises(ConfigError, match=r"unknown backend|no calibration"):
        make_backend(name, tmp_path)
