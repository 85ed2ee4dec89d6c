"""An OpenAI-compatible server on loopback that knows one task, and has every fault a server can have."""

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    """Answers "fresh" where the text holds "joy", else "rotten"; `fault(number)` names faults."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault: Callable[[int], str | None] = lambda number: None
        self.logprobs = "given"  # or "left out", or "refused"
        self.models = ["tiny"]
        self.seconds = 0.0  # that an answer takes
        self.key: str | None = None
        self.asked: list[dict[str, Any]] = []
        self.texts: Counter[str] = Counter()  # answered well
        self.tokens = 0  # billed
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news here."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._reply(200, {"data": [{"id": name} for name in self.server.models]})

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.asked.append(body)
            number = len(server.asked)
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        try:
            self._answer(body, server.fault(number))
        finally:
            with server.lock:
                server.under_way -= 1

    def _answer(self, body: dict[str, Any], fault: str | None) -> None:
        server = self.server
        authorization = self.headers.get("Authorization")
        if server.key is not None and authorization != f"Bearer {server.key}":
            self._reply(401, {"error": {"message": f"wrong key {authorization}"}})
        elif body["model"] not in server.models:
            self._reply(404, {"error": {"message": f"no model {body['model']}"}})
        elif body.get("logprobs") and server.logprobs == "refused":
            self._reply(422, {"detail": "unsupported field logprobs"})
        elif fault and fault.isdigit():
            self._reply(int(fault), {"error": "not now"}, {"Retry-After": "0.05"} if fault == "429" else {})
        else:
            self._work(body, fault)

    def _work(self, body: dict[str, Any], fault: str | None) -> None:
        server = self.server
        text = body["messages"][-1]["content"]
        read, written = sum(len(m["content"]) for m in body["messages"]) // 5 + 10, 2
        word = "fresh" if "joy" in text else "rotten"
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": word}, "finish_reason": "stop"}
        if body.get("logprobs") and server.logprobs == "given" and fault != "no logprobs":
            sure = 0.7 + 0.2 * (len(text) % 7) / 7
            other = {"fresh": " rot", "rotten": "Fre"}[word]
            top = [{"token": t, "logprob": math.log(p)} for t, p in ((word[:3], sure), (other, 1 - sure))]
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        content = {"choices": [choice], "usage": {"prompt_tokens": read, "completion_tokens": written}}
        time.sleep(1.0 if fault == "slow" else server.seconds)
        with server.lock:
            server.tokens += read + written
            server.texts[text] += fault is None
        if fault == "wrong JSON":
            self._raw(b'{"choices": [{"mess')
        elif fault == "cut":
            self._raw(json.dumps(content).encode(), promised=100_000)
        else:
            self._reply(200, {"result": "fine"} if fault == "other JSON" else content)

    def _reply(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        self._raw(json.dumps(content).encode(), status=status, headers=headers)

    def _raw(
        self, content: bytes, *, status: int = 200, promised: int = 0, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(promised or len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = bool(promised)


@contextmanager
def serving() -> Iterator[Server]:
    """A server of one's own, on a free port."""
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()
