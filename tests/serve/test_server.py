"""The socket that a server listens at."""

import socket

import pytest

from qdllm.errors import ConfigError
from qdllm.serve import open_socket


def test_an_answer_in_two_parts_is_sent_at_once():
    with (
        open_socket("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", -1), ("127.0.0.1", 65536), ("256.0.0.1", 0)])
def test_an_address_that_cannot_be_had_is_refused(host, port):
    with pytest.raises(ConfigError, match=str(port) if port else host):
        open_socket(host, port)
