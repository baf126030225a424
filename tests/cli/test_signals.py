"""A command that is told to stop ends in time, and is done with what it began."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_BEGIN = """
import signal
import sys
from pathlib import Path
from edgedeploy.cli.signals import raise_when_stopped
from edgedeploy.foundation.scratch import scratch_folder

limit_s, place = float(sys.argv[1]), Path(sys.argv[2])
# A shell's command in the background is to ignore it, and so do those that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
raise_when_stopped(limit_s)
"""
_COMPUTES = """
import numpy
values = numpy.ones((3000, 3000), numpy.longdouble)
words = "ready"
with scratch_folder(place):
    while True:
        try:
            print(words, flush=True)
            words = "again"
            values @ values  # half a minute of C
        except BaseException:
            continue  # the signal came before it
"""
_CLEANS_UP = """
try:
    print("ready", flush=True)
    sys.stdin.read()
finally:
    for _ in range(200_000):
        place.exists()
    (place / "cleaned").touch()
"""
_WAITS = """
import threading
import time

def pass_on():
    sys.stdin.readline()
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=pass_on).start()
try:
    print("ready", flush=True)
    time.sleep(3600)
except KeyboardInterrupt:
    (place / "heard").touch()
    raise
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


Begin = Callable[[str, float], subprocess.Popen[bytes]]


@pytest.fixture
def begin(place: Path) -> Iterator[Begin]:
    with contextlib.ExitStack() as stack:

        def begin_one(code: str, limit_s: float) -> subprocess.Popen[bytes]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", _BEGIN + code, str(limit_s), str(place)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            return process

        yield begin_one


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_library_that_does_not_return_is_not_waited_for(number: signal.Signals, begin: Begin, place: Path) -> None:
    process = begin(_COMPUTES, 0.2)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert list(place.iterdir()) == []


def test_a_second_signal_ends_it_at_once(begin: Begin, place: Path) -> None:
    process = begin(_COMPUTES, 3600)
    for _ in range(100):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(0.5)
            break
        except subprocess.TimeoutExpired:
            continue
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert list(place.iterdir()) == []


def test_a_signal_that_comes_twice_does_not_interrupt_the_clean_up(begin: Begin, place: Path) -> None:
    """As where a group is signalled, and a script in it passes the signal on."""
    process = begin(_CLEANS_UP, 60)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert (place / "cleaned").exists()


def test_a_main_thread_that_waits_hears_a_signal_that_another_thread_took(begin: Begin, place: Path) -> None:
    """The kernel may give a signal to any thread; a wait of the main one is not interrupted by that."""
    process = begin(_WAITS, 30)
    process.communicate(b"\n", timeout=60)
    assert (place / "heard").exists()
