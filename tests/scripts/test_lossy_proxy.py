"""The bad network of the benchmarks is as bad as it says."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from lossy_proxy import lossy_proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                connection.sendall(chunk)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def echoed(port: int, sent: bytes) -> bytes:
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10.0) as connection:
        connection.sendall(sent)
        try:
            connection.shutdown(socket.SHUT_WR)
        except OSError as error:  # «not connected»: it was reset meanwhile
            raise ConnectionResetError from error
        while chunk := connection.recv(65536):
            got += chunk
    return got


def test_what_is_sent_arrives(echo: int) -> None:
    sent = bytes(range(256)) * 2000
    with lossy_proxy(echo) as proxy:
        assert echoed(proxy.port, sent) == sent and not proxy.cut


def test_it_cuts_once_after_so_many_bytes(echo: int) -> None:
    with lossy_proxy(echo, cut_after_bytes=100_000) as proxy:
        try:
            got = echoed(proxy.port, bytes(300_000))
        except ConnectionError:
            got = b""
        assert proxy.cut and len(got) < 100_000
        assert echoed(proxy.port, b"again") == b"again"


def test_bytes_take_their_time_each_way(echo: int) -> None:
    with lossy_proxy(echo, delay_s=0.1) as proxy:
        begun = time.monotonic()
        assert echoed(proxy.port, b"there and back") == b"there and back"
        assert time.monotonic() - begun >= 0.2


def test_it_cuts_again_and_counts_what_passed(echo: int) -> None:
    with lossy_proxy(echo, cut_after_bytes=50_000, cuts=2) as proxy:
        for _ in range(2):
            with contextlib.suppress(ConnectionError):
                assert len(echoed(proxy.port, bytes(300_000))) < 50_000
        before = proxy.passed_bytes
        assert before >= 50_000
        assert len(echoed(proxy.port, bytes(300_000))) == 300_000
        assert proxy.passed_bytes - before >= 600_000


def test_who_is_back_at_once_is_no_part_of_the_cut_and_of_the_next_one(echo: int) -> None:
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(lossy_proxy(echo, cut_after_bytes=50_000, cuts=20))
        for _ in range(50):  # many connections take a while to reset
            stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
        for _ in range(20):
            with contextlib.suppress(ConnectionError):
                assert len(echoed(proxy.port, bytes(300_000))) < 50_000
        assert len(echoed(proxy.port, bytes(300_000))) == 300_000
