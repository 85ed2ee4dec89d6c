"""The command line: parses, calls, prints."""

from qdllm.cli import chips as chips  # these add their commands
from qdllm.cli import compiling as compiling
from qdllm.cli import making as making
from qdllm.cli import research as research
from qdllm.cli import serving as serving
from qdllm.cli import teaching as teaching
from qdllm.cli import using as using
from qdllm.cli.app import app, main

__all__ = ["app", "main"]
