"""End a command that is told to stop as one that is interrupted: what it started and half wrote goes with it."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from types import FrameType

from edgedeploy.foundation import forced_end

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LIMIT_S = 10.0
"""So long may a library take to return, and what was begun to be cleaned up: `docker stop` kills after as much."""
_SAME_S = 1.0
"""A signal to a process group comes twice where a shell of that group passes it on: within this time it is the same."""
_KNOCKS_S = (0.1, 0.2, 0.3)
"""Waits before the main thread is told again. All of them pass within `_SAME_S`."""


class StoppedError(BaseException):
    """SIGTERM or SIGHUP came. Like KeyboardInterrupt, it is no `Exception`: nothing on the way takes it for a failure.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number
        """As a shell tells it."""


def raise_when_stopped(limit_s: float = _LIMIT_S) -> None:
    """From now on, raise StoppedError where SIGTERM or SIGHUP would end the process without a word.

    SIGINT still raises KeyboardInterrupt. What is raised is raised once: nothing interrupts the clean-up. A second
    signal ends the process, after the steps of `forced_end`; so does the end of `limit_s`, whatever library computes
    meanwhile and lets Python run no handler. Where a signal is ignored, as `nohup` has it, it stays so.

    Args:
        limit_s: from the first signal on.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    heard = threading.Event()
    threading.Thread(target=_end_in_time, args=(reading, heard, limit_s), name="stopping", daemon=True).start()

    def stop(number: int, frame: FrameType | None) -> None:
        if not heard.is_set():
            heard.set()
            raise KeyboardInterrupt if number == signal.SIGINT else StoppedError(number)

    for number in _STOPPING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, stop)


def _end_in_time(reading: int, heard: threading.Event, limit_s: float) -> None:
    """Wait for the first signal, then for a second one or the end of the time."""
    first = _next(reading, None)
    begun = time.monotonic()
    _knock(first, heard)
    while (left_s := begun + limit_s - time.monotonic()) > 0:
        if _next(reading, left_s) and time.monotonic() > begun + _SAME_S:
            break
    # What is done for that must end as well.
    threading.Timer(limit_s, os._exit, (128 + first,)).start()
    forced_end.run_steps(128 + first)
    os._exit(128 + first)


def _knock(number: int, heard: threading.Event) -> None:
    """Signal the main thread itself, until it has heard.

    Python runs handlers there, when that thread next runs code of Python. It may wait in the kernel for long instead:
    the signal came just before it began to, or the kernel gave the signal to another thread.
    """
    for wait_s in _KNOCKS_S:
        if heard.wait(wait_s):
            return
        signal.pthread_kill(threading.main_thread().ident or 0, number)


def _next(reading: int, timeout_s: float | None) -> int:
    """Return the number of the next signal that stops; 0 where none comes in time."""
    while select.select([reading], [], [], timeout_s)[0]:
        for number in os.read(reading, 1):
            if number in _STOPPING:
                return number
    return 0
