"""End a command that is told to stop as one that is interrupted: what it started and half wrote goes with it."""

from __future__ import annotations

import signal
from types import FrameType


class StoppedError(BaseException):
    """SIGTERM or SIGHUP came. Like KeyboardInterrupt, it is no `Exception`: nothing on the way takes it for a failure.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number
        """As a shell tells it."""


def raise_when_stopped() -> None:
    """From now on, raise StoppedError where SIGTERM or SIGHUP would end the process without a word.

    A second one ends it at once. Where the signal is ignored, as `nohup` has it, it stays so.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise StoppedError(number)
