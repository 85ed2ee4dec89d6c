"""The command line: parses, calls, prints."""

from qdllm.cli import making as making  # these add their commands
from qdllm.cli import research as research
from qdllm.cli import serving as serving
from qdllm.cli import using as using
from qdllm.cli.app import app, main

__all__ = ["app", "main"]
