"""The HTTP service: a run's models behind FastAPI, with a page to try texts on."""

from qdllm.serve.model import TextModel
from qdllm.serve.server import open_socket, serve

__all__ = ["TextModel", "open_socket", "serve"]
