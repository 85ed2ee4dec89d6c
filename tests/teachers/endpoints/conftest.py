"""A server of one's own, and no key in the environment."""

from collections.abc import Iterator

import pytest

from .chat_server import Server, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that knows one task, asked without a key and without long pauses."""
    pytest.importorskip("urllib3")
    monkeypatch.delenv("QDLLM_API_KEY", raising=False)
    monkeypatch.setattr("qdllm.teachers.endpoints.client._FIRST_PAUSE", 0.01)
    with serving() as found:
        yield found
