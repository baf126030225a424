"""The protocol of a connection to a device: runs commands, and streams bytes both ways.

`ssh/` (emulated boards too) and `local.py` satisfy it; `deploy` and `measure` know nothing else of a device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import BinaryIO, Protocol

from msgspec import Struct

ANSWER_LIMIT_BYTES = 64 << 20
"""Of what `run` takes from a command; one that says more is ended. Whoever expects more talks to a `Process`."""


class Completed(Struct, frozen=True, kw_only=True):
    """A command that ended on the device."""

    exit_status: int
    stdout: bytes
    stderr: bytes


class Process(Protocol):
    """A command that runs on the device and is talked to while it does."""

    stdin: BinaryIO
    """Buffered; `close()` is the end of the command's input."""
    stdout: BinaryIO

    def wait(self, timeout_s: float | None = None) -> Completed:
        """Wait for the end. `stdout` holds what was not read from `.stdout`; `stderr` at most its last 64 KiB.

        Raises:
            UnreachableError: the connection was lost.
            DeviceError: it did not end in time (it is then killed).
        """

    def kill(self) -> None:
        """End it now. Safe to call twice and after the end."""


class Connection(Protocol):
    """An open way into a device. A context manager: leaving it closes the connection."""

    address: str
    """As the user gave it, e.g. `"board:rpi4"`."""
    counts_instructions: bool
    """Whether the device's clock goes on by one nanosecond with each instruction it executes (an emulated board)."""
    emulator: str | None
    """The emulator of a board that edgedeploy booted, and its version, e.g. `"QEMU 7.2.22"`; None of other devices."""

    @property
    def emulated(self) -> bool:
        """Whether an emulator executes its programs, as the machine itself shows: its times are then no latency.

        Raises:
            DeviceError: it does not say what it is in time.
            UnreachableError: the connection was lost.
        """

    @property
    def virtual_machine(self) -> str | None:
        """The hypervisor, where the device is a virtual machine: its times are real, of a core that others may share.
        Raises what `emulated` raises."""

    def run(self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout_s: float = 60.0) -> Completed:
        """Run a command in the user's home folder and wait for it. Words are quoted here, never by the caller.

        Raises:
            UnreachableError: the connection was lost.
            DeviceError: it did not take a piece of `stdin` within `timeout_s`, or did not end within `timeout_s` after
                the last one, or it answers more than `ANSWER_LIMIT_BYTES`. It is killed.
        """

    def start(self, argv: Sequence[str]) -> Process:
        """Start a command and talk to it.

        Raises:
            UnreachableError: the connection was lost.
        """

    def reopen(self) -> None:
        """Connect anew, after the connection was lost. What was started over it is lost with it.

        Raises:
            UnreachableError: the device cannot be reached.
            AuthenticationError: it does not let us in, or its host key is another one now.
        """

    def close(self) -> None:
        """Close it. Safe to call twice."""

    def __enter__(self) -> Connection: ...

    def __exit__(self, *exc: object) -> None: ...
