"""The HTTP service: a run's models behind FastAPI, with a page to try texts on."""

from qdllm.serve.model import TextModel

__all__ = ["TextModel"]
