"""Schemathesis asks the server whatever its own OpenAPI allows, and much that it does not."""

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

uvicorn = pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from qdllm.serve import TextModel, open_socket  # noqa: E402
from qdllm.serve.app import create_app  # noqa: E402

SCHEMATHESIS = shutil.which("schemathesis", path=str(Path(sys.executable).parent))


@pytest.fixture
def address():
    """A server whose model knows no text that it could not answer."""

    def halves(texts):
        return np.full((len(texts), 2), 0.5)

    app = create_app({"student": TextModel("student", ("<b>", "سوق"), halves)}, name="run")
    with open_socket("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_nothing_that_is_asked_breaks_it(address, tmp_path):
    command = [SCHEMATHESIS, "run", f"{address}/openapi.json", "--max-examples", "300", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
