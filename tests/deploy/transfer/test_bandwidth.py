"""How fast is sent, on a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.deploy.transfer.bandwidth import limited


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


@given(st.lists(st.integers(0, 200_000), max_size=20), st.integers(1_000, 10_000_000))
def test_the_same_bytes_at_no_more_than_the_rate(sizes: list[int], bytes_per_s: int) -> None:
    clock = Clock()
    chunks = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    taken = b""
    for piece in limited(chunks, bytes_per_s, now=clock.now, sleep=clock.sleep):
        taken += piece
        # What went so far, but for one piece and the burst, took its time.
        assert len(taken) <= bytes_per_s * (clock.now_s + 0.25) + (16 << 10)
    assert taken == b"".join(chunks)


def test_time_in_which_nothing_was_sent_is_not_made_good() -> None:
    clock = Clock()
    stream = limited([bytes(16 << 10)] * 100, 16 << 10, now=clock.now, sleep=clock.sleep)
    next(stream)
    clock.now_s = 1000.0
    for _ in range(20):
        next(stream)
    assert clock.now_s == pytest.approx(1019.0, abs=1.0)


def test_without_a_limit() -> None:
    chunks = [b"a" * 100_000, b"b"]
    assert list(limited(chunks, None, sleep=lambda _: pytest.fail("it waits"))) == chunks
