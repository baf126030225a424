"""A wait that takes too long ends its process, and no other wait does."""

from __future__ import annotations

import threading

import pytest

from edgedeploy.device.watchdog import SilenceLimit

HARMLESS_S = 60.0
"""A limit that no sound run comes near."""


class Process:
    def __init__(self) -> None:
        self.killed = threading.Event()

    def kill(self) -> None:
        self.killed.set()


def test_too_long_a_wait_kills_the_process_which_wakes_whoever_waits() -> None:
    process = Process()
    silence = SilenceLimit(process, 0.05)
    with silence:
        assert process.killed.wait(HARMLESS_S)
    assert silence.exceeded


@pytest.mark.parametrize("limit_s", [None, HARMLESS_S])
def test_short_waits_do_not_add_up(limit_s: float | None) -> None:
    process = Process()
    silence = SilenceLimit(process, limit_s)
    for _ in range(1000):
        with silence:
            pass
    silence.stop()
    silence.stop()
    assert not silence.exceeded and not process.killed.is_set()
