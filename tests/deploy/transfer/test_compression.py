"""Streams that are compressed when the network is slow."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedeploy.deploy.transfer.compression import gzip_when_it_pays


class Network:
    """A network of a certain speed, and the clock beside it."""

    def __init__(self, bytes_per_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes_per_s = bytes_per_s
        self.now_s = 0.0
        monkeypatch.setattr("edgedeploy.deploy.transfer.compression.time.perf_counter", lambda: self.now_s)

    def send(self, stream: Iterable[bytes]) -> list[bytes]:
        sent = []
        for member in stream:
            sent.append(member)
            self.now_s += len(member) / self.bytes_per_s
        return sent


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=300)), st.integers(1, 500))
def test_gives_back_what_was_put_in(chunks: list[bytes], piece_bytes: int) -> None:
    packed = b"".join(gzip_when_it_pays(chunks, piece_bytes=piece_bytes))
    assert gzip.decompress(packed) == b"".join(chunks)


def test_gzip_itself_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(3 << 20) + bytes(5 << 20)
    sent = b"".join(Network(1e6, monkeypatch).send(gzip_when_it_pays([data[:100], data[100:]])))
    assert subprocess.run(["gzip", "-dc"], input=sent, capture_output=True, check=True).stdout == data


def test_a_slow_network_gets_less(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = Network(1e6, monkeypatch).send(gzip_when_it_pays(bytes(1 << 20) for _ in range(20)))
    assert len(sent[0]) > 1 << 20
    assert all(len(member) < 1 << 15 for member in sent[1:20])


def test_a_fast_network_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = Network(100e6, monkeypatch).send(gzip_when_it_pays(bytes(1 << 20) for _ in range(20)))
    assert all(len(member) > 1 << 20 for member in sent[:20])


def test_a_network_that_gets_better_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(1e6, monkeypatch)

    def pieces() -> Iterable[bytes]:
        for number in range(60):
            network.bytes_per_s = 1e6 if number < 20 else 1e9
            yield bytes(1 << 20)

    sent = network.send(gzip_when_it_pays(pieces()))
    assert len(sent[19]) < 1 << 15
    assert len(sent[59]) > 1 << 20
