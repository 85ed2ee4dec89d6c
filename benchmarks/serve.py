"""The server under load: requests a second, latencies, memory, and what a kill loses.

    qdllm bench serve [--run RUN] [--models student] [--rate 200] [--texts 10] [--seconds 600] [--json]
                      [--out FOLDER]

Without RUN, a student on n-grams of the BBC news is distilled into runs/serve. Client and server share the
machine. Requests are sent at their times whether or not earlier ones have been answered, over connections
that are kept open; a latency counts from the time a request was due, so a server that falls behind is not
spared. At the end the server is killed in the middle of the load and started again.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from qdllm.cli.printing import errors_in_one_line
from qdllm.errors import WorkError
from qdllm.files import write_json, write_text
from qdllm.machine import describe_machine
from qdllm.pipeline import RunConfig, RunFolder, distill, load_texts

_CONNECTIONS = 16
_P99_MS, _GROWTH = 50.0, 0.05  # the bars; growth is of resident memory after the first tenth of the time
_KILL_SECONDS = 20.0
_START_SECONDS = 120.0


class Sent(NamedTuple):
    """A request: when it was due, sent and over (seconds since the start), and whether it was answered."""

    due: float
    begin: float
    end: float
    good: bool


def main() -> None:
    """Measure, print the page, and write serve.json and serve.md."""
    parser = argparse.ArgumentParser(prog="qdllm bench serve", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--models", default="student", help="comma-separated; each is measured")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--texts", type=int, default=10, help="of one request")
    parser.add_argument("--seconds", type=float, default=600.0, help="of load for each model")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    with errors_in_one_line():
        run = options.run or make_run(Path("runs/serve"))
        bodies = make_bodies(run, options.texts)
        results: dict[str, Any] = {
            "schema": {"name": "qdllm.bench-serve", "version": 1},
            "command": f"qdllm bench serve --models {options.models} --rate {options.rate:g} "
            f"--texts {options.texts} --seconds {options.seconds:g}",
            "machine": describe_machine("fastapi", "uvicorn", "numpy"),
            "run": describe(run),
            "rate": options.rate,
            "texts": options.texts,
            "seconds": options.seconds,
            "models": {
                model: measure(run, model, bodies, options.rate, options.seconds)
                for model in options.models.split(",")
            },
        }
    write_json(options.out / "serve.json", results)
    write_text(options.out / "serve.md", as_markdown(results))
    print(json.dumps(results, indent=2) if options.json else as_markdown(results))


def make_run(folder: Path) -> Path:
    """Distil a student on n-grams, where that has not been done yet."""
    config = RunConfig.model_validate(
        {"data": {"path": "demo:news"}, "teacher": {"source": "none"}, "encoder": {"source": "ngrams"}}
    )
    if not RunFolder(folder).metrics.is_file():
        distill(config, folder, quiet=True)
    return folder


def describe(run: Path) -> dict[str, Any]:
    """Return what is served."""
    config = RunConfig.from_toml(RunFolder(run).config, {})
    return {"data": config.data.path, "encoder": config.encoder.source, "qubits": config.student.n_qubits}


def make_bodies(run: Path, n_texts: int) -> list[list[str]]:
    """Cut the run's texts into requests."""
    config = RunConfig.from_toml(RunFolder(run).config, {})
    texts = load_texts(config.data, config.seed).dataset.texts
    return [list(texts[i : i + n_texts]) for i in range(0, len(texts) - n_texts + 1, n_texts)]


def measure(run: Path, model: str, requests: list[list[str]], rate: float, seconds: float) -> dict[str, Any]:
    """Load a server, watch its memory, kill it and start it again."""
    bodies = [json.dumps({"texts": texts, "model": model}).encode() for texts in requests]
    busy = os.getloadavg()[0]
    with running(run, model) as (server, port):
        load(port, bodies, rate, min(5.0, seconds))  # what is loaded late is loaded now
        memory, spent = [resident_megabytes(server.pid)], cpu_seconds(server.pid)
        sent = []
        for _ in range(10):
            sent += load(port, bodies, rate, seconds / 10)
            memory.append(resident_megabytes(server.pid))
        spent = cpu_seconds(server.pid) - spent
    latencies = 1000 * np.array([one.end - one.due for one in sent])
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99])
    failed = sum(not one.good for one in sent)
    growth = memory[-1] / memory[1] - 1
    killed = kill(run, model, bodies, rate)
    return {
        "requests": len(sent),
        "failed": failed,
        "load_before": round(busy, 1),
        "milliseconds": {
            "p50": round(float(p50), 2),
            "p95": round(float(p95), 2),
            "p99": round(float(p99), 2),
            "most": round(float(latencies.max()), 2),
        },
        "cpu_milliseconds": round(1000 * spent / len(sent), 3),
        "megabytes": memory,
        "growth": growth,
        "kill": killed,
        "met": {
            "failed": failed == 0,
            "p99": bool(p99 < _P99_MS),
            "memory": growth <= _GROWTH,
            "kill": killed["failed_after"] == 0 and killed["lost"] <= _CONNECTIONS,
        },
    }


def kill(run: Path, model: str, bodies: list[bytes], rate: float) -> dict[str, Any]:
    """Kill a server under load and start it again; count what was lost when."""
    found: dict[str, list[Sent]] = {}
    with running(run, model) as (server, port):
        sending = threading.Thread(target=lambda: found.update(sent=load(port, bodies, rate, _KILL_SECONDS)))
        started = time.perf_counter()
        sending.start()
        time.sleep(2)
        server.kill()
        killed = time.perf_counter() - started
        server.wait()
        with running(run, model, port):
            ready = time.perf_counter() - started
            sending.join()
    lost = [one for one in found["sent"] if not one.good]
    return {
        "requests": len(found["sent"]),
        "answered_before": sum(one.good and one.end < killed for one in found["sent"]),
        "lost": sum(one.begin < killed for one in lost),
        "refused_while_down": sum(killed <= one.begin < ready for one in lost),
        "failed_after": sum(one.begin >= ready for one in lost),
        "seconds_down": round(ready - killed, 1),
    }


def load(port: int, bodies: list[bytes], rate: float, seconds: float) -> list[Sent]:
    """Send requests at a constant rate, each when it is due, over so many connections."""
    begin, total = time.perf_counter(), round(rate * seconds)
    lanes: list[list[Sent]] = [[] for _ in range(_CONNECTIONS)]

    def drive(lane: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for number in range(lane, total, _CONNECTIONS):
            due = number / rate
            time.sleep(max(0.0, begin + due - time.perf_counter()))
            sent = time.perf_counter() - begin
            good = post(connection, bodies[number % len(bodies)])
            lanes[lane].append(Sent(due, sent, time.perf_counter() - begin, good))
        connection.close()

    threads = [threading.Thread(target=drive, args=(lane,)) for lane in range(_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [one for lane in lanes for one in lane]


def post(connection: http.client.HTTPConnection, body: bytes) -> bool:
    """Send a request, and say whether it was answered."""
    try:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return False
    return response.status == 200


@contextmanager
def running(run: Path, model: str, port: int | None = None) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a server until the block ends."""
    at = port or free_port()
    command = [sys.executable, "-m", "qdllm", "serve", str(run), "--models", model, "--port", str(at)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("QDLLM_TOKEN", None)
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(server, at)
        yield server, at
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


def wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise WorkError("the server does not start; try `qdllm serve` on the same run")


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def resident_megabytes(pid: int) -> float:
    """Return the memory of a process that is in use (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def cpu_seconds(pid: int) -> float:
    """Return what a process has computed so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    machine, served = results["machine"], results["run"]
    lines = [
        "# The server under load",
        "",
        f"Made by `{results['command']}` on {machine['date']}: {machine['cpu']}, {machine['cores']} cores "
        f"shared by client and server, Python {machine['python']}, FastAPI {machine['fastapi']}, uvicorn "
        f"{machine['uvicorn']}, qdllm {machine['qdllm']}.",
        "",
        f"A student of {served['qubits']} qubits on {served['encoder']}, texts of {served['data']}: "
        f"{results['rate']:g} requests a second of {results['texts']} texts for {results['seconds']:g} "
        "seconds, each sent when it is due; latencies count from then.",
        "",
        "| model | requests | failed | p50, ms | p95 | p99 | most | server's CPU, ms a request "
        "| memory after a tenth, MB | at the end |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for model, found in results["models"].items():
        ms, memory = found["milliseconds"], found["megabytes"]
        lines.append(
            f"| {model} | {found['requests']:,} | {found['failed']} | {ms['p50']:.1f} | {ms['p95']:.1f} | "
            f"{ms['p99']:.1f} | {ms['most']:.1f} | {found['cpu_milliseconds']:.2f} | {memory[1]:.1f} "
            f"| {memory[-1]:.1f} |"
        )
    lines += [
        "",
        "| bar | " + " | ".join(results["models"]) + " |",
        "|---" * (1 + len(results["models"])) + "|",
    ]
    bars = {
        "failed": "no request fails",
        "p99": f"p99 below {_P99_MS:g} ms",
        "memory": f"memory grows by at most {100 * _GROWTH:g} % after the first tenth",
        "kill": "a kill loses requests in flight alone",
    }
    for name, bar in bars.items():
        verdicts = ["met" if found["met"][name] else "missed" for found in results["models"].values()]
        lines.append(f"| {bar} | {' | '.join(verdicts)} |")
    for model, found in results["models"].items():
        killed = found["kill"]
        lines += [
            "",
            f"{model}, killed (SIGKILL) under the same load and started again: {killed['answered_before']:,} "
            f"requests were answered before, {killed['lost']} in flight were lost, "
            f"{killed['refused_while_down']:,} were refused in the {killed['seconds_down']:g} seconds until "
            "it was up again, "
            f"{killed['failed_after']} failed after that. Load average of the machine before all this: "
            f"{found['load_before']:.1f}.",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
