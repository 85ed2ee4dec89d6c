"""A real server: transformers' own, with SmolLM2, on loopback."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qdllm.data import load_demo
from qdllm.errors import RequestError
from qdllm.models import local_folder

pytest.importorskip("fastapi")
pytest.importorskip("openai")
pytest.importorskip("uvicorn")

_START_SECONDS = 180


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def model() -> Path:
    try:
        return local_folder("smollm2")
    except RequestError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def url(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model), "--device", "cpu"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path_factory.mktemp("serve") / "log"
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as server:
        try:
            until = time.monotonic() + _START_SECONDS
            while not _answers(port):
                assert server.poll() is None and time.monotonic() < until, log.read_text()
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def test_reviews_are_labelled_by_samples_and_paid_for_once(url: str, model: Path, tmp_path: Path) -> None:
    reviews = load_demo("reviews")
    rows = np.random.default_rng(0).permutation(len(reviews))[:40]
    with (tmp_path / "reviews.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([reviews.texts[i], (reviews.labels or ())[i]] for i in rows)
    (tmp_path / "c.toml").write_text(
        "[teacher]\nlabel_words = { fresh = 'positive', rotten = 'negative' }\n"
        "[teacher.endpoint]\nsamples = 3\nconcurrency = 4\ntimeout = 120\n"
    )
    command = [sys.executable, "-m", "qdllm", "label", "reviews.csv", "--teacher", url, "--mode", "zero-shot"]
    command += [
        "--model",
        str(model),
        "--config",
        "c.toml",
        "--price-in",
        "1",
        "--out",
        "l.parquet",
        "--json",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # the models of the test's own cache, the answers of a cache of one's own
    environment["QDLLM_CACHE"] = str(tmp_path / "cache")
    spent = []
    for _ in range(2):
        shutil.rmtree(tmp_path / "cache" / "teachers" / "labels", ignore_errors=True)  # answers stay
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        report = json.loads(done.stdout)
        spent.append(report["spent"])
    assert report["rows"] == 40 and report["mode"] == "zero-shot"
    assert spent[0] == spent[1] and spent[0]["prompt"] > 40 * 3 * 30
