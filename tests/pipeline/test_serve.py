"""`qdllm serve` as a process: it answers as `qdllm predict` does, and ends when it is told to."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")

from qdllm.pipeline.models import available_models, load_model

from .test_cli import _write_csv, qdllm, refused


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    data = _write_csv(folder / "data.csv", 200, 1)
    options = ("--teacher", "none", "--encoder", "tfidf", "--qubits", 3, "--epochs", 10, "--quiet")
    qdllm("distill", data, "--out", folder / "run", *options)
    return folder / "run"


@pytest.fixture
def server(run, tmp_path):
    """A server on a port of its own, and where it logs."""
    log = tmp_path / "log"
    environment = {**os.environ, "QDLLM_TOKEN": "s3cret", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "qdllm", "serve", str(run), "--port", "0"]
    with log.open("w") as stderr, subprocess.Popen(command, env=environment, stderr=stderr) as process:
        deadline = time.monotonic() + 120
        while "listening" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        yield process, int(json.loads(_line(log, "listening"))["url"].rpartition(":")[2]), log
        process.kill()


def _line(log, word):
    return next(line for line in log.read_text().splitlines() if word in line)


def _ask(port, texts):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer s3cret"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/predict", json.dumps({"texts": texts}), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_it_answers_as_predict_does_and_stops_when_told(run, server):
    process, port, log = server
    texts = ["goal of the team", "bank shares"]
    status, found = _ask(port, texts)
    assert status == 200
    predicted = json.loads(qdllm("predict", run, *texts, "--json").stdout)
    assert [p["label"] for p in found["predictions"]] == [p["label"] for p in predicted]
    for ours, theirs in zip(found["predictions"], predicted, strict=True):
        assert ours["proba"] == pytest.approx(theirs["proba"], abs=1e-6)

    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(_ask(port, ["goal"] * 256)[0])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while len(answers) < 2:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert answers == [200] * 4
    assert process.wait(timeout=30) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum(line.get("status") == 200 for line in lines) == 5
    assert "goal" not in log.read_text()
    assert "s3cret" not in log.read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--models", "oracle"), "student, surrogate, teacher"),
        (("--models", ","), "no model"),
        (("--models", "surrogate"), "no surrogate"),
        (("--models", "teacher"), "no teacher"),
        (("--port", "99999"), "99999"),
        (("--host", "256.0.0.1"), "256.0.0.1"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(run, options, says):
    base = () if "--port" in options else ("--port", 0)
    assert says in refused("serve", run, *options, *base, "--quiet")


def test_a_saved_surrogate_answers_as_the_runs_own(run, tmp_path):
    whole = tmp_path / "run"
    shutil.copytree(run, whole)
    qdllm("compile", whole)
    assert available_models(run) == ["student"]
    assert available_models(whole) == ["student", "surrogate"]
    shutil.move(whole / "surrogate", tmp_path / "alone")
    assert available_models(tmp_path / "alone") == ["surrogate"]
    assert available_models(run / "student") == ["student"]
    alone = load_model(tmp_path / "alone", "surrogate")
    texts = ["goal of the team", "bank shares"]
    predicted = json.loads(qdllm("predict", tmp_path / "alone", *texts, "--json").stdout)
    assert alone.classes == tuple(sorted(predicted[0]["proba"]))
    for ours, theirs in zip(alone.predict_proba(texts), predicted, strict=True):
        assert dict(zip(alone.classes, ours, strict=True)) == pytest.approx(theirs["proba"], abs=1e-6)
    assert "no student" in refused("serve", tmp_path / "alone", "--models", "student", "--port", 0)


def test_a_taken_port_is_refused_in_one_line(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "cannot listen" in refused("serve", run, "--port", taken.getsockname()[1])


def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path):
    assert "neither" in refused("serve", tmp_path, "--port", 0)
