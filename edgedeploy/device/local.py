"""This machine as a device: the same commands in a folder of its own, for trying things without a board."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

from edgedeploy.device.backlog import POLL_S, Backlog
from edgedeploy.device.connection import Completed
from edgedeploy.device.probe.machine_kind import machine_kind
from edgedeploy.device.pump import did_not_end, run_to_end
from edgedeploy.device.streams import Reader, Writer
from edgedeploy.device.watchdog import SilenceLimit
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.foundation.files import unwritable
from edgedeploy.foundation.programs import parent_tie
from edgedeploy.values.probe import MachineKind

_CHUNK_BYTES = 64 << 10
_STDERR_LIMIT_BYTES = 64 << 10
_END_S = 5.0
"""For a killed command to be gone."""
_PASSED_ON = ("LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
"""What a program has of this process's environment, with `LC_*`: about what sshd gives one. A bundle is other people's:
passphrases, tokens and agents are none of its business."""


class LocalConnection:
    """Runs commands with `home` as HOME and working folder. A `Connection`.

    Raises:
        HostError: the folder cannot be made.
    """

    counts_instructions = False
    emulator: str | None = None

    def __init__(self, address: str, home: Path) -> None:
        self.address = address
        self._home = home
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(home, error) from error

    @cached_property
    def emulated(self) -> bool:
        """Whether an emulator executes this machine's programs."""
        return self._kind.kind == "emulator"

    @cached_property
    def virtual_machine(self) -> str | None:
        """The hypervisor, where this machine is a virtual one."""
        return self._kind.hypervisor

    @cached_property
    def _kind(self) -> MachineKind:
        return machine_kind(self)

    def run(self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout_s: float = 60.0) -> Completed:
        return run_to_end(self.start(argv), stdin, timeout_s=timeout_s, command=argv[0], address=self.address)

    def start(self, argv: Sequence[str]) -> LocalProcess:
        return LocalProcess(self.address, argv, self._home)

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass

    def __enter__(self) -> LocalConnection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class LocalProcess:
    """A command on this machine. A `Process`."""

    def __init__(self, address: str, argv: Sequence[str], home: Path) -> None:
        self._address = address
        # Through a shell, as sshd does it: a command that is not there ends with status 127.
        self._words = list(argv)
        self._killed = False
        self._backlog = Backlog()
        # Standard error goes to a file: nobody has to drain it, and it cannot block the command.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        tie, before = parent_tie()
        try:
            self._process = subprocess.Popen(
                [*tie, "/bin/sh", "-c", 'exec "$@"', "sh", *self._words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=home,
                env=_environment(home),
                start_new_session=True,
                preexec_fn=before,
            )
        except OSError as error:
            self._errors.close()
            raise DeviceError("this machine starts no more commands", why=error.strerror or "") from error
        self._input = cast(BinaryIO, self._process.stdin)
        self._output = cast(BinaryIO, self._process.stdout)
        os.set_blocking(self._input.fileno(), False)
        self.stdin = cast(BinaryIO, Writer(self.send, self.end_of_input))
        self.stdout = cast(BinaryIO, Reader(self.receive, self._output.close))

    def wait(self, timeout_s: float | None = None) -> Completed:
        silence = SilenceLimit(self, timeout_s)
        try:
            with silence:
                self.stdin.close()
                rest = self.stdout.read()
                status = self._process.wait()
            if silence.exceeded:
                raise did_not_end(self._words[0], self._address, timeout_s)
            size = self._errors.seek(0, os.SEEK_END)
            self._errors.seek(max(0, size - _STDERR_LIMIT_BYTES))
            # A signal's number is negative here; a shell, and so SSH, adds it to 128.
            return Completed(
                exit_status=status if status >= 0 else 128 - status, stdout=rest, stderr=self._errors.read()
            )
        finally:
            silence.stop()
            self.kill()
            self._output.close()
            self._errors.close()

    def kill(self) -> None:
        # Not `poll`: once a process has been waited for, its number may be another one's; until then even a dead one
        # keeps it, and with it that of its session.
        if self._process.returncode is None:
            # The whole session: a shell's children would otherwise live on and hold the pipes.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._killed = True
            with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel; nobody waits for it
                self._process.wait(_END_S)

    def send(self, data: memoryview) -> int:
        """Write some of `data`. Returns how many bytes.

        Raises:
            BrokenPipeError: the command takes no more.
        """
        while not _is_ready(self._input, select.POLLOUT):
            # A child that it left behind may hold the pipe, and not read from it.
            if self._killed or self._has_ended():
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        try:
            return os.write(self._input.fileno(), data[:_CHUNK_BYTES])
        except BlockingIOError:
            return 0

    def end_of_input(self) -> None:
        """Let the command see the end of its input."""
        with contextlib.suppress(OSError):
            self._input.close()

    def receive(self) -> bytes:
        """Wait for output. Returns some of it; nothing at its end, or soon after the command's."""
        while not self._output.closed:
            ended = self._has_ended()
            if self._killed or (ended and self._backlog.is_over()):
                break
            # Whoever kills it may close the stream meanwhile.
            with contextlib.suppress(OSError, ValueError):
                if _is_ready(self._output, select.POLLIN):
                    chunk = os.read(self._output.fileno(), _CHUNK_BYTES)
                    self._backlog.took(len(chunk))
                    return chunk
        return b""

    def _has_ended(self) -> bool:
        """Tell whether the command has ended, without waiting for it: see `kill`."""
        if self._process.returncode is not None:
            return True
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True


def _is_ready(file: BinaryIO, event: int) -> bool:
    """Wait for `POLL_S` at most until a pipe can be used, or its other end is closed."""
    poll = select.poll()
    poll.register(file, event)
    return bool(poll.poll(POLL_S * 1000))


def _environment(home: Path) -> dict[str, str]:
    """Return the environment of a program on this machine."""
    kept = {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("LC_")}
    return {**kept, "HOME": str(home)}
