"""Boards that a killed process leaves running are found."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from edgedeploy.device.emulator.borrowed import abandoned, borrowed

_BORROWS = """
import sys
from edgedeploy.device.emulator.borrowed import borrowed
with borrowed("one"):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_board_is_abandoned_when_its_process_was_killed() -> None:
    process = subprocess.Popen([sys.executable, "-c", _BORROWS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    assert list(abandoned()) == []
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert list(abandoned()) == ["one"]
    assert list(abandoned()) == []  # dealt with


def test_one_that_is_given_back_is_not_abandoned() -> None:
    with pytest.raises(KeyboardInterrupt), borrowed("one"):
        raise KeyboardInterrupt
    assert list(abandoned()) == []
