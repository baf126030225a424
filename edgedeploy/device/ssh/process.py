"""A command on a device behind SSH: streams that cannot block, and an end that is known."""

from __future__ import annotations

import contextlib
import re
import shlex
import threading
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

import paramiko

from edgedeploy.device.connection import Completed
from edgedeploy.device.pump import did_not_end, says_too_much
from edgedeploy.device.watchdog import SilenceLimit
from edgedeploy.foundation.errors import UnreachableError

_CHUNK_BYTES = 64 << 10
_STDERR_LIMIT_BYTES = 64 << 10
_KILLED = 137
"""Exit status of a shell that a signal ended: 128 + SIGKILL."""
_END_S = 5.0
"""For a killed command to be gone, and for its server to say so."""
_NOISE_LIMIT_BYTES = 1 << 20
# Files that login shells read may print; the command's own output begins after this line, which has the number of the
# process that started it. And some shells put the command in their own place, for which SSH then gives no status when a
# signal ended it: this one stays, and says 128 + the signal's number.
_WRAPPED = 'echo "$0: here $$"; "$@"; exit $?'
_BEGUN = re.compile(rb"edgedeploy: here ([0-9]{1,10})\n")
# Ends the wrapper $1 and what it started. Its group is only ours where its leader is: Dropbear's own process leads that
# of its commands.
_KILL = """
grep -q edgedeploy "/proc/$1/cmdline" || exit
read -r pid name state parent group rest <"/proc/$1/stat"
if grep -q edgedeploy "/proc/$group/cmdline"; then kill -s KILL -- "-$group"; else kill -s KILL "$1"; fi
"""


def command_line(argv: Sequence[str]) -> str:
    """Quote a command for the server's login shell, once, in a wrapper that `SshProcess` can follow."""
    return shlex.join(["sh", "-c", _WRAPPED, "edgedeploy", *argv])


class SshProcess:
    """A command on a device behind SSH. A `Process`.

    Args:
        channel: open, and not used yet.
    """

    def __init__(self, address: str, argv: Sequence[str], channel: paramiko.Channel) -> None:
        self.address = address
        self.command = argv[0]
        self._channel = channel
        self._accepted = threading.Event()
        self._errors = bytearray()
        self._reader = _Reader(self)
        self.stdin = cast(BinaryIO, _Writer(self))
        self.stdout = cast(BinaryIO, self._reader)
        self._drain = threading.Thread(target=self._execute, args=(command_line(argv),), daemon=True)
        self._drain.start()

    def wait(self, timeout_s: float | None = None) -> Completed:
        silence = SilenceLimit(self, timeout_s)
        try:
            with silence:
                self.stdin.close()
                rest = self.stdout.read()
                status = self._channel.recv_exit_status()
            if silence.exceeded:
                raise did_not_end(self.command, self.address, timeout_s)
            self._drain.join(_END_S)
            if status == -1 and self._is_lost():
                raise lost(self.address, EOFError("the connection ended before the command did"))
            return Completed(
                exit_status=_KILLED if status == -1 else status,
                stdout=rest,
                stderr=bytes(self._errors),
            )
        finally:
            silence.stop()
            self.kill()

    def kill(self) -> None:
        with contextlib.suppress(Exception):
            if not self._channel.exit_status_ready():
                self._kill_there()
        # What could not be killed by its number ends when it reads or writes.
        with contextlib.suppress(Exception):
            self._channel.close()

    def send(self, data: memoryview) -> int:
        """Send some of `data`. Returns how many bytes.

        Raises:
            BrokenPipeError: the command takes no more.
            UnreachableError: the connection was lost.
        """
        self._accepted.wait()
        try:
            sent: int = self._channel.send(data[:_CHUNK_BYTES])
        except (OSError, EOFError) as error:
            sent = 0
            if isinstance(error, EOFError) or self._is_lost():
                raise lost(self.address, error) from error
        if sent == 0:
            raise BrokenPipeError(32, f"{self.command} on {self.address} takes no more input")
        return sent

    def receive(self) -> bytes:
        """Wait for output. Returns some of it; nothing at its end.

        Raises:
            UnreachableError: the connection was lost.
        """
        try:
            data: bytes = self._channel.recv(_CHUNK_BYTES)
        except OSError as error:
            raise lost(self.address, error) from error
        return data

    def end_of_input(self) -> None:
        """Let the command see the end of its input."""
        self._accepted.wait()
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def _execute(self, line: str) -> None:
        """Start the command, then read its standard error to the end.

        The server's word that it starts takes as long as the network does there and back; so it is awaited here, and
        meanwhile the output may come. A server that refuses, and a connection that is lost, close the channel, which
        whoever reads or writes it finds.
        """
        try:
            with contextlib.suppress(Exception):
                self._channel.exec_command(line)
        finally:
            self._accepted.set()
        with contextlib.suppress(Exception):
            while chunk := self._channel.recv_stderr(_CHUNK_BYTES):
                self._errors += chunk
                del self._errors[:-_STDERR_LIMIT_BYTES]

    def _kill_there(self) -> None:
        """End the command by its number, over another channel: paramiko sends no signals (RFC 4254, section 6.9), and
        sshd passes none on to commands of root."""
        transport = self._channel.get_transport()
        if self._reader.process_id is None or not transport.is_active():
            return
        with transport.open_session(timeout=_END_S) as channel:
            channel.exec_command(shlex.join(["sh", "-c", _KILL, "sh", self._reader.process_id]))
            # Dropbear (2022.83), when a command ends, closes every channel on which none has begun yet, and then the
            # connection, when something comes for such a channel. So it has to have said that this one is gone.
            self._channel.status_event.wait(_END_S)

    def _is_lost(self) -> bool:
        """Tell whether the connection has ended, after a channel has."""
        if self._channel.exit_status_ready() and self._channel.recv_exit_status() != -1:
            return False
        transport = self._channel.get_transport()
        # When it is lost, paramiko closes the channels first, and the transport's own thread ends a moment later.
        transport.join(1.0)
        return not transport.is_active()


class _Writer:
    def __init__(self, process: SshProcess) -> None:
        self._process = process
        self.closed = False

    def write(self, data: bytes) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            done += self._process.send(view[done:])
        return done

    def flush(self) -> None:
        pass

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._process.end_of_input()


class _Reader:
    def __init__(self, process: SshProcess) -> None:
        self._process = process
        self.process_id: str | None = None
        """Of the wrapper, once it has begun."""
        self._waiting = bytearray()
        self._ended = False

    def read1(self, size: int = -1) -> bytes:
        if not self._waiting and not self._ended:
            self._fill()
        size = len(self._waiting) if size < 0 else size
        return self._take(size)

    def read(self, size: int = -1) -> bytes:
        while not self._ended and (size < 0 or len(self._waiting) < size):
            self._fill()
        return self._take(len(self._waiting) if size < 0 else size)

    def readline(self, limit: int = -1) -> bytes:
        searched = 0
        while True:
            end = self._waiting.find(b"\n", searched)
            if end >= 0:
                return self._take(end + 1 if limit < 0 else min(end + 1, limit))
            if 0 <= limit <= len(self._waiting):
                return self._take(limit)
            if self._ended:
                return self._take(len(self._waiting))
            searched = len(self._waiting)
            self._fill()

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def close(self) -> None:
        pass

    def _fill(self) -> None:
        """Get at least one byte more, or find the end."""
        self._receive()
        if self.process_id is None:
            self._skip_noise()
            if not self._waiting and not self._ended:
                self._receive()

    def _skip_noise(self) -> None:
        """Drop what comes before the command's output. Where the command never begins, that is all there is to know."""
        while self.process_id is None and not self._ended:
            mark = _BEGUN.search(self._waiting)
            if mark:
                self.process_id = mark[1].decode()
                del self._waiting[: mark.end()]
            elif len(self._waiting) > _NOISE_LIMIT_BYTES:
                raise says_too_much(self._process.command, self._process.address)
            else:
                self._receive()

    def _receive(self) -> None:
        chunk = self._process.receive()
        self._waiting += chunk
        self._ended = not chunk

    def _take(self, size: int) -> bytes:
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        return taken


def lost(address: str, error: Exception) -> UnreachableError:
    """Return the error for a connection that ended by itself."""
    return UnreachableError(
        f"the connection to {address} was lost",
        why=str(error) or type(error).__name__,
        hint="run the command again: what was current there still is",
    )
