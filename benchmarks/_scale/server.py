"""An OpenAI-compatible server of a known speed: so many answers at once, each after so long.

    python server.py SLOTS SECONDS

prints its port. It answers "yes" where the text has an even number of characters, else "no".
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_SLOTS = threading.Semaphore(int(sys.argv[1]))
_SECONDS = float(sys.argv[2])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._reply({"data": [{"id": "known-speed"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        with _SLOTS:
            time.sleep(_SECONDS)
        words = ("yes", "no") if len(text) % 2 == 0 else ("no", "yes")
        top = [{"token": word, "logprob": log_p} for word, log_p in zip(words, (-0.2, -1.7), strict=True)]
        self._reply(
            {
                "choices": [
                    {
                        "message": {"role": "assistant", "content": words[0]},
                        "logprobs": {"content": [{**top[0], "top_logprobs": top}]},
                    }
                ],
                "usage": {"prompt_tokens": len(text) // 4, "completion_tokens": 1},
            }
        )

    def _reply(self, content: Any) -> None:
        sent = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing: whoever asks is killed again and again."""


if __name__ == "__main__":
    with _Server(("127.0.0.1", 0), _Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
