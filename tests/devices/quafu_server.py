"""Quafu on loopback, after the requests and answers that its SDK documents, with faults on demand."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .small_chips import line

KEY = "qf_" + "a" * 40


class QuafuServer:
    """Set `fault` to make it misbehave; `jobs` holds what it accepted, by its own name."""

    def __init__(self):
        self.jobs = {}
        self.fault = None
        self.requests = []
        self.polls_until_done = 0
        self.cut_answers = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.get(self)

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.post(self, body)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def get(self, handler):  # noqa: PLR0911 - a table of paths
        path = handler.path.partition("?")[0].removeprefix("/api/v1")
        if self.fault == "down":
            return self.answer(handler, 503, {"code": "unavailable", "detail": "maintenance"})
        if path == "/backends/Baihua/metadata":
            limits = {"min_shots": 1024, "max_shots": 8192, "shots_step": 1024, "max_tasks_per_job": 4}
            return self.answer(handler, 200, {"n_qubits": 6, "limits": limits})
        if path == "/devices/Baihua":
            status = "offline" if self.fault == "offline" else "online"
            return self.answer(handler, 200, {"name": "Baihua", "status": status, "n_qubits": 6})
        if path == "/devices/Baihua/calibration":
            return self.answer(handler, 200, self.calibration())
        if found := re.fullmatch(r"/jobs/([^/]+)/status", path):
            return self.status(handler, found[1])
        if found := re.fullmatch(r"/jobs/([^/]+)/tasks/(\d+)", path):
            return self.answer(handler, 200, self.task(found[1], int(found[2])))
        return self.answer(handler, 404, {"code": "unknown_device", "detail": "no such thing"})

    def post(self, handler, body):
        self.requests.append((dict(handler.headers), body))
        if handler.headers["Authorization"] != f"Bearer {KEY}" or self.fault == "login":
            return self.answer(handler, 401, {"code": "token_revoked", "detail": "revoked"})
        if self.fault == "quota":
            return self.answer(
                handler, 429, {"code": "daily_cap", "detail": "cap", "vars": {"hard_limit": 5}}
            )
        known = {job["client_ref"]: name for name, job in self.jobs.items()}
        name = known.get(body["client_ref"]) or f"J{len(self.jobs)}"
        self.jobs[name] = body
        if self.cut_answers:
            self.cut_answers -= 1
            handler.connection.close()
            return None
        return self.answer(handler, 201, {"job_id": name, "status": "Queued", "task_ids": []})

    def status(self, handler, name):
        if name not in self.jobs or self.fault == "lost":
            return self.answer(handler, 404, {"code": "not_found", "detail": "no such job"})
        self.polls_until_done -= 1
        status = (
            "Queued" if self.polls_until_done >= 0 else "Failed" if self.fault == "failed" else "Finished"
        )
        total = len(self.jobs[name]["circuits"])
        return self.answer(handler, 200, {"status": status, "counts": {"total": total}})

    def task(self, name, number):
        wanted = self.jobs[name]["circuits"][number]
        n_bits = int(re.search(r"creg c\[(\d+)\]", wanted["qasm"])[1])
        counts = {"0" * (n_bits - 1) + "1": wanted["shots"]}
        if self.fault == "malformed":
            counts = {"2" * n_bits: wanted["shots"]}
        if self.fault == "failed":
            return {"task_id": f"{name}-{number}", "status": "Failed", "error": {"category": "runtime.chip"}}
        result = {"counts": counts, "bit_order": "c0_rightmost", "n_clbits": n_bits}
        return {"task_id": f"{name}-{number}", "status": "Finished", "target": "Baihua", "result": result}

    def calibration(self):
        chip = line(6)
        qubits = [
            {"index": q, "t1_us": v.t1_us, "t2_us": v.t2_us, "gate_fidelity": 1 - v.error}
            for q, v in chip.qubits.items()
        ]
        if self.fault == "no_t1":
            qubits[2]["t1_us"] = None
        readout = [
            {"index": q, "readout_fidelity_0": 1 - v.read_0_as_1, "readout_fidelity_1": 1 - v.read_1_as_0}
            for q, v in chip.qubits.items()
        ]
        couplers = [{"qubits": list(c.qubits), "cz_fidelity": c.fidelity} for c in chip.couplers]
        return {
            "id": "cal-1",
            "chip": "Baihua",
            "calibrated_at": "2026-11-01T00:00:00+08:00",
            "source": "vendor",
            "qubits": qubits,
            "couplers": couplers,
            "measured": {"qubits": readout},
        }

    def answer(self, handler, status, content):
        body = json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
