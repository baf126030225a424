"""Run a command on a device to its end: feed it, read its answer, bound both. One way for every kind of connection."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator

from edgedeploy.device.connection import ANSWER_LIMIT_BYTES, Completed, Process
from edgedeploy.device.watchdog import SilenceLimit
from edgedeploy.foundation.errors import DeviceError

_PIECE_BYTES = 64 << 10
"""Of input, each with the whole time allowed: what goes on being taken is not silent, however slow the network is."""


def run_to_end(
    process: Process, stdin: bytes | Iterable[bytes], *, timeout_s: float, command: str, address: str
) -> Completed:
    """Write all of `stdin` to a process, read all that it answers, and wait for its end.

    Each piece of input has to be taken within `timeout_s`; after the last one, the command has to end within
    `timeout_s`, whatever it says in between. The time that `stdin` itself takes to make a piece does not count.

    Args:
        command: its name, for messages.
        address: of the device, for messages.

    Raises:
        DeviceError: it did not end in time, or answers more than `ANSWER_LIMIT_BYTES`. It is killed.
        UnreachableError: the connection was lost.
    """
    silence = SilenceLimit(process, timeout_s)
    # Both directions at once: a command that writes while it is still being written to must not block us both.
    answer = _Answer(process)
    completed: Completed | None = None
    try:
        _feed(process, stdin, silence)
        with silence:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            answer.join()
            if answer.failure is None:
                completed = process.wait()
    except BaseException:
        process.kill()
        if not silence.exceeded:
            raise
    finally:
        silence.stop()
    if silence.exceeded:
        raise did_not_end(command, address, timeout_s)
    if answer.is_too_long:
        raise says_too_much(command, address)
    if answer.failure is not None:
        raise answer.failure
    assert completed is not None
    return Completed(exit_status=completed.exit_status, stdout=answer.content, stderr=completed.stderr)


def did_not_end(command: str, address: str, timeout_s: float | None) -> DeviceError:
    """Return the error for a command that took longer than it may."""
    return DeviceError(f"{command} did not end within {timeout_s:g} s on {address}")


def says_too_much(command: str, address: str) -> DeviceError:
    """Return the error for output without end."""
    return DeviceError(f"{command} on {address} says more than it should", why="its output was not read to the end")


def _feed(process: Process, stdin: bytes | Iterable[bytes], silence: SilenceLimit) -> None:
    with contextlib.suppress(BrokenPipeError):  # it ended early; its exit status says why
        for piece in _pieces(stdin):
            with silence:
                process.stdin.write(piece)
                process.stdin.flush()


def _pieces(stdin: bytes | Iterable[bytes]) -> Iterator[bytes]:
    for chunk in (stdin,) if isinstance(stdin, bytes) else stdin:
        for start in range(0, len(chunk), _PIECE_BYTES):
            yield chunk[start : start + _PIECE_BYTES]


class _Answer(threading.Thread):
    """Reads all output of a process, and kills one that says too much."""

    def __init__(self, process: Process) -> None:
        super().__init__(daemon=True)
        self.content = b""
        self.failure: Exception | None = None
        self._process = process
        self.start()

    @property
    def is_too_long(self) -> bool:
        return len(self.content) > ANSWER_LIMIT_BYTES

    def run(self) -> None:
        try:
            self.content = self._process.stdout.read(ANSWER_LIMIT_BYTES + 1)
        except Exception as error:  # handed to whoever waits for the command, which may be waiting to be read
            self.failure = error
        if self.failure is not None or self.is_too_long:
            self._process.kill()
