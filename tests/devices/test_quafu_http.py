"""The older Quafu service against a server of our own."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import numpy as np
import pytest

from qdllm.devices import CircuitBatch, lower, make_backend
from qdllm.devices.batch import fold
from qdllm.errors import BackendError, ConfigError, CredentialsError, JobUnknownError
from qdllm.files import read_json

from .small_chips import bound_student

SYSTEM = {"system_name": "ScQ-P10", "system_id": 7, "qubits": 10, "status": "Online"}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        self.jobs, self.fault = {}, None
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_):
        pass


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):  # noqa: PLR0911 - a table of paths
        server = self.server
        form = {
            k: v[0]
            for k, v in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()
        }
        path = self.path.removeprefix("/qbackend/")
        if self.headers["api_token"] != "token" or server.fault == "login":
            return self.answer({"status": 201, "message": "token error"})
        if path == "get_backends/":
            status = "Offline" if server.fault == "offline" else "Online"
            if server.fault == "no systems":
                return self.answer({"status": 200, "data": [{"system_name": "ScQ-P10"}]})
            return self.answer({"status": 200, "data": [{**SYSTEM, "status": status}]})
        if path == "scq_kit_asyc/":
            if server.fault == "quota":
                return self.answer({"status": 400, "message": "no shots left"})
            server.jobs[f"T{len(server.jobs)}"] = form
            if server.fault == "cut":
                return self.connection.close()
            return self.answer({"status": 0, "task_id": f"T{len(server.jobs) - 1}"})
        if server.fault == "lost":
            return self.answer({"status": 0, "message": "no such task"})
        shots = server.jobs[form["task_id"]]["shots"]
        text = "{'1000': oops" if server.fault == "malformed" else f"{{'1000': {shots}}}"
        return self.answer(
            {"status": 4 if server.fault == "failed" else 2, "res": text, "task_id": form["task_id"]}
        )

    def answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    found = Server()
    threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("QUAFU_HTTP_URL", f"http://127.0.0.1:{found.server_port}")
    monkeypatch.setenv("QUAFU_API_TOKEN", "token")
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def batch():
    lowered = lower(bound_student(n_qubits=4, ansatz="brick"))
    angles = lowered.angles(np.random.default_rng(0).normal(size=(2, 4)))[:, 0]
    return CircuitBatch(lowered.circuit, angles, (0, 1, 2, 3))


def runner(tmp_path, **options):
    backend = make_backend("quafu-http:ScQ-P10", tmp_path, **options)
    backend._sleep = lambda seconds: None
    return backend


def test_bits_are_turned_round_and_each_circuit_is_a_job(server, batch, tmp_path):
    counts = runner(tmp_path).run(batch, [500, 500], seed=0)
    assert [(c.states.tolist(), c.shots) for c in counts] == [([1], 500)] * 2
    assert [job["selected_server"] for job in server.jobs.values()] == ["7", "7"]


def test_a_lost_answer_is_unknown_and_sent_again_only_when_asked(server, batch, tmp_path):
    server.fault = "cut"
    for _ in range(2):
        with pytest.raises(JobUnknownError, match="give --resend to send it again"):
            runner(tmp_path).run(batch, [500, 500], seed=0)
    assert len(server.jobs) == 1
    states = sorted(read_json(path)["state"] for path in tmp_path.glob("*.json"))
    assert states == ["planned", "unknown"]
    server.fault = None
    assert len(runner(tmp_path, resend=True).run(batch, [500, 500], seed=0)) == 2
    assert len(server.jobs) == 3


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("login", CredentialsError, "QUAFU_API_TOKEN was refused"),
        ("quota", BackendError, "refused: no shots left"),
        ("lost", BackendError, "job T0 is lost"),
        ("failed", BackendError, "job T0 failed"),
        ("malformed", BackendError, "malformed counts"),
    ],
)
def test_faults_are_one_clear_error(server, batch, tmp_path, fault, error, message):
    chip = runner(tmp_path)
    server.fault = fault
    with pytest.raises(error, match=message):
        chip.run(batch, [500, 500], seed=0)


def test_what_is_wrong_before_anything_is_sent(server, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="there is no 'Nowhere', but ScQ-P10"):
        make_backend("quafu-http:Nowhere", tmp_path)
    server.fault = "offline"
    with pytest.raises(BackendError, match="is Offline: nothing was submitted"):
        runner(tmp_path)
    monkeypatch.delenv("QUAFU_API_TOKEN")
    with pytest.raises(CredentialsError, match="QUAFU_API_TOKEN is not set"):
        runner(tmp_path)
    assert not server.jobs


@pytest.mark.parametrize("key", ["SECRET\rtoken", "SECRET\u3042", "SECRET token\n\nX"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(server, tmp_path, monkeypatch, key):
    monkeypatch.setenv("QUAFU_API_TOKEN", key)
    with pytest.raises(CredentialsError, match="QUAFU_API_TOKEN holds characters that no key has") as caught:
        runner(tmp_path)
    assert "SECRET" not in str(caught.value)


def test_white_space_around_a_key_does_not_matter(server, tmp_path, monkeypatch):
    monkeypatch.setenv("QUAFU_API_TOKEN", "token\r\n")
    assert runner(tmp_path).limits.n_qubits == 10


def test_an_address_without_a_scheme_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("QUAFU_API_TOKEN", "token")
    monkeypatch.setenv("QUAFU_HTTP_URL", "quafu.example")
    with pytest.raises(ConfigError, match=r"QUAFU_HTTP_URL is 'quafu\.example'"):
        runner(tmp_path)


def test_an_answer_without_systems_is_shown(server, tmp_path):
    server.fault = "no systems"
    with pytest.raises(BackendError, match=r"answered .* nothing was submitted"):
        runner(tmp_path)


def test_folded_circuits_are_kept_from_the_services_compiler(server, batch, tmp_path):
    folded = CircuitBatch(fold(batch.circuit), batch.angles, batch.layout)
    runner(tmp_path).run(folded, [500, 500], seed=0)
    program = server.jobs["T0"]["qtasm"]
    assert program.count("cz ") == 3 * batch.qasm2(0).count("cz ")
    assert program.count("barrier ") == 2 * batch.qasm2(0).count("cz ")
    assert "barrier" not in batch.qasm2(0)
