"""A job runner that is killed at random times, over and over, and what its vendor was paid for meanwhile.

The vendor is a server on this machine: it counts what it accepts, takes its time, and now and then accepts a
job and cuts the connection before it has answered. It can be asked for a job by its tag.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
import urllib.request
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from qdllm.circuits import Circuit, input_symbol
from qdllm.devices import CircuitBatch, Counts, JobRunner, Limits
from qdllm.errors import JobUnknownError

_CUT, _SLOWEST = 0.2, 0.05  # share of answers that are cut off; seconds that an answer takes at most
_SLEEP = 0.01  # of the runner, for every second that it would wait


class Vendor:
    """A service on loopback.

    Parameters
    ----------
    seed : int
        Seeds delays and cut connections.
    """

    def __init__(self, seed: int) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self._rng = random.Random(seed)
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                vendor.pause()
                job = f"job-{len(vendor.jobs)}"
                vendor.jobs[job] = wanted
                vendor.pause()
                if vendor.cuts():
                    self.connection.close()
                else:
                    self.answer({"job": job})

            def do_GET(self) -> None:
                vendor.pause()
                kind, _, name = self.path.strip("/").partition("/")
                if kind == "find":
                    found = [job for job, wanted in vendor.jobs.items() if wanted["tag"] == name]
                    self.answer({"job": found[0] if found else None})
                else:
                    shots = vendor.jobs[name]["shots"]
                    self.answer({"counts": [{"00": n} for n in shots]})

            def answer(self, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:  # a killed client, or one that was cut off
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def pause(self) -> None:
        """Take time."""
        time.sleep(self._rng.random() * _SLOWEST)

    def cuts(self) -> bool:
        """Say whether to cut this answer off."""
        return self._rng.random() < _CUT

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Client:
    """The vendor's `JobService`."""

    name = "loopback"
    is_real = True
    unit = "shots"
    limits = Limits(n_qubits=2, most_circuits=2)

    def __init__(self, url: str) -> None:
        self._url = url

    def submit(self, batch: CircuitBatch, shots: Sequence[int], tag: str) -> str:
        assert len(batch) == len(shots)
        body = json.dumps({"tag": tag, "shots": [int(n) for n in shots]}).encode()
        try:
            return str(self._ask(urllib.request.Request(f"{self._url}/jobs", data=body))["job"])
        except ConnectionError as error:
            raise JobUnknownError(str(error)) from error

    def find(self, tag: str) -> str | None:
        found: str | None = self._ask(f"{self._url}/find/{tag}")["job"]
        return found

    def counts(self, job: str, n_wires: int) -> list[Counts]:
        return [Counts.from_keys(c, n_wires) for c in self._ask(f"{self._url}/jobs/{job}")["counts"]]

    def cost(self, n_circuits: int, shots: int) -> float:
        return float(n_circuits * shots)

    def calibration(self) -> None:
        return None

    def target(self) -> None:
        return None

    def _ask(self, request: Any) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.loads(response.read())
        except Exception as error:  # whatever breaks off
            raise ConnectionError(str(error)) from error


def _work(url: str, folder: str, batches: int) -> None:
    circuit = Circuit(2).ry(input_symbol("a_0"), 0).cnot(0, 1)
    runner = JobRunner(_Client(url), folder, sleep=lambda seconds: time.sleep(_SLEEP * seconds))
    for number in range(batches):
        angles = np.full((5, 1), 0.1 * number)
        counts = runner.run(CircuitBatch(circuit, angles, (0, 1)), [number + 1] * 5, seed=number)
        assert [found.shots for found in counts] == [number + 1] * 5


def run_kills(kills: int, *, seed: int = 0, batches: int = 4) -> dict[str, int]:
    """Kill a runner so many times; whenever its work is done, begin anew in another folder.

    Returns
    -------
    dict
        ``kills``; ``jobs``, those that were wanted; ``lost``, wanted and not run; ``paid_twice``.
    """
    rng = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["qdllm.devices", __name__])
    vendor = Vendor(seed)
    killed = finished = 0
    with TemporaryDirectory() as folder:
        done = False
        while killed < kills or not done:
            process = context.Process(target=_work, args=(vendor.url, f"{folder}/{finished}", batches))
            process.start()
            # The last work is left to finish.
            process.join(None if killed >= kills else rng.uniform(0.05, 1.0))
            done = not process.is_alive()
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                killed += 1
            else:
                if process.exitcode != 0:
                    raise RuntimeError(f"the runner failed with status {process.exitcode}")
                finished += 1
        vendor.close()
        # Every work has batches of 5 circuits, cut into jobs of 2.
        records = [json.loads(path.read_text()) for path in Path(folder).glob("*/*.json")]
    paid: dict[str, int] = {}
    for job in vendor.jobs.values():
        paid[job["tag"]] = paid.get(job["tag"], 0) + 1
    return {
        "kills": killed,
        "jobs": len(records),
        "lost": sum(r["state"] != "done" for r in records) + 3 * batches * finished - len(records),
        "paid_twice": sum(n - 1 for n in paid.values()) + len(set(paid) - {r["tag"] for r in records}),
    }
