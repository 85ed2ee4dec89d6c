"""Schemathesis asks the server whatever its own OpenAPI allows, and much that it does not."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from qdllm.serve import TextModel
from qdllm.serve.app import create_app

from .servers import running

SCHEMATHESIS = shutil.which("schemathesis", path=str(Path(sys.executable).parent))


@pytest.fixture
def address():
    """A server whose model knows no text that it could not answer."""

    def halves(texts):
        return np.full((len(texts), 2), 0.5)

    app = create_app({"student": TextModel("student", ("<b>", "سوق"), halves)}, name="run")
    with running(app) as found:
        yield found


def test_nothing_that_is_asked_breaks_it(address, tmp_path):
    command = [SCHEMATHESIS, "run", f"{address}/openapi.json", "--max-examples", "300", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
