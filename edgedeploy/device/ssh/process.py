"""A command on a device behind SSH: streams that cannot block, silence that is noticed, an end that is known."""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, TypeVar, cast

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

from edgedeploy.device.connection import Completed
from edgedeploy.foundation.errors import DeviceError, UnreachableError

_Moved = TypeVar("_Moved", int, bytes)

CHUNK_BYTES = 64 << 10
_STDERR_LIMIT_BYTES = 64 << 10
_KILLED = 137
"""Exit status of a shell that a signal ended: 128 + SIGKILL."""
# Dropbear (2022.83), when a command ends, closes every channel on which none has begun yet, and then the connection,
# when something comes for such a channel. So the next one is opened after it has said that a killed one is gone.
_END_S = 5.0
_BEGUN = b"edgedeploy: here\n"
_NOISE_LIMIT_BYTES = 1 << 20
# Files that login shells read may print; the command's own output begins after this line. And some shells put the
# command in their own place, for which SSH then gives no status when a signal ended it: this one stays, and says 128 +
# the signal's number.
_WRAPPED = 'echo "$0: here"; "$@"; exit $?'


def command_line(argv: Sequence[str]) -> bytes:
    """What the server's login shell is given, so that `SshProcess` can follow it. Words are quoted here, once."""
    return shlex.join(["sh", "-c", _WRAPPED, "edgedeploy", *argv]).encode()


def is_openssh(transport: paramiko.Transport) -> bool:
    return "OpenSSH" in transport.remote_version


def begin(channel: paramiko.Channel, command: bytes) -> None:
    """Ask the server to run a command (RFC 4254, section 6.5), and do not wait for it to say that it does.

    paramiko's `exec_command` waits, which is as long as the network takes there and back. A server that refuses is
    found out all the same: paramiko then closes the channel.
    """
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("exec")
    message.add_boolean(True)
    message.add_string(command)
    channel.get_transport()._send_user_message(message)


class SshProcess:
    """A command on a device behind SSH, started with `command_line`. A `Process`."""

    def __init__(self, address: str, command: str, channel: paramiko.Channel) -> None:
        self._address = address
        self._command = command
        self._channel = channel
        self._errors = bytearray()
        self._limit_s: float | None = None
        self._moved_s = time.monotonic()
        self.stdin = cast(BinaryIO, _Writer(self))
        self.stdout = cast(BinaryIO, _Reader(self))
        self._drain = threading.Thread(target=self._read_errors, daemon=True)
        self._drain.start()

    def alive(self, timeout_s: float | None) -> None:
        """Silence is counted from now, in both directions together; after `timeout_s` of it, reading and writing raise
        DeviceError."""
        self._moved_s = time.monotonic()
        if timeout_s != self._limit_s:
            self._limit_s = timeout_s
            self._channel.settimeout(timeout_s)

    def wait(self, timeout_s: float | None = None) -> Completed:
        self.alive(timeout_s)
        try:
            self.stdin.close()
            rest = self.stdout.read()
            if not self._channel.status_event.wait(timeout_s):
                raise self.failure(TimeoutError())
            self._drain.join(5.0)
            status = self._channel.recv_exit_status()
            if status == -1 and self._is_lost():
                raise lost(self._address, EOFError("the connection ended before the command did"))
            return Completed(
                exit_status=_KILLED if status == -1 else status,
                stdout=rest,
                stderr=bytes(self._errors),
            )
        finally:
            self.kill()

    def kill(self) -> None:
        with contextlib.suppress(Exception):
            if not self._channel.exit_status_ready():
                self._signal("KILL")
                if not is_openssh(self._channel.get_transport()):
                    self._channel.status_event.wait(_END_S)
        # Some servers ignore signals; a closed channel ends at least what reads or writes it.
        with contextlib.suppress(Exception):
            self._channel.close()

    def failure(self, error: Exception) -> Exception:
        """What a failed read or write means."""
        if isinstance(error, TimeoutError):
            return DeviceError(
                f"{self._command} is silent for too long on {self._address}", why="no answer in the time allowed"
            )
        return lost(self._address, error)

    def too_much(self) -> DeviceError:
        """The error for output without end."""
        return DeviceError(
            f"{self._command} on {self._address} says more than it should", why="its output was not read to the end"
        )

    def send(self, data: memoryview) -> int:
        try:
            sent: int = self._patiently(lambda: self._channel.send(data[:CHUNK_BYTES]))
        except TimeoutError as error:
            raise self.failure(error) from error
        except (OSError, EOFError) as error:
            sent = 0
            if isinstance(error, EOFError) or self._is_lost():
                raise self.failure(error) from error
        if sent == 0:
            raise BrokenPipeError(32, f"{self._command} on {self._address} takes no more input")
        return sent

    def receive(self, size: int) -> bytes:
        try:
            data: bytes = self._patiently(lambda: self._channel.recv(size))
        except OSError as error:
            raise self.failure(error) from error
        return data

    def end_of_input(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def _patiently(self, move: Callable[[], _Moved]) -> _Moved:
        """Read or write; as long as the other direction moves, waiting for this one is not silence.

        Raises:
            TimeoutError: neither moved for the time allowed.
        """
        while True:
            try:
                moved = move()
            except TimeoutError:
                if self._limit_s is None or time.monotonic() - self._moved_s >= self._limit_s:
                    raise
            else:
                self._moved_s = time.monotonic()
                return moved

    def _signal(self, name: str) -> None:
        """Ask the server to send a signal to the command and its children (RFC 4254, section 6.9)."""
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(self._channel.remote_chanid)
        message.add_string("signal")
        message.add_boolean(False)
        message.add_string(name)
        self._channel.get_transport()._send_user_message(message)

    def _is_lost(self) -> bool:
        """Whether the connection has ended, told after a channel has."""
        if self._channel.exit_status != -1:
            return False
        transport = self._channel.get_transport()
        # When it is lost, paramiko closes the channels first, and the transport's own thread ends a moment later.
        transport.join(1.0)
        return not transport.is_active()

    def _read_errors(self) -> None:
        with contextlib.suppress(Exception):
            while True:
                try:
                    chunk = self._channel.recv_stderr(CHUNK_BYTES)
                except TimeoutError:
                    time.sleep(0.05)
                    continue
                if not chunk:
                    return
                self._errors += chunk
                del self._errors[:-_STDERR_LIMIT_BYTES]


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
        self._waiting = bytearray()
        self._ended = False
        self._begun = False

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
        if not self._begun:
            self._skip_noise()
            if not self._waiting and not self._ended:
                self._receive()

    def _skip_noise(self) -> None:
        """Drop what comes before the command's output. Where the command never begins, that is all there is to know."""
        while not self._begun and not self._ended:
            _, mark, output = self._waiting.partition(_BEGUN)
            if mark:
                self._begun, self._waiting = True, output
            elif len(self._waiting) > _NOISE_LIMIT_BYTES:
                raise self._process.too_much()
            else:
                self._receive()

    def _receive(self) -> None:
        chunk = self._process.receive(CHUNK_BYTES)
        self._waiting += chunk
        self._ended = not chunk

    def _take(self, size: int) -> bytes:
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        return taken


def lost(address: str, error: Exception) -> UnreachableError:
    """The error for a connection that ended by itself."""
    return UnreachableError(
        f"the connection to {address} was lost",
        why=str(error) or type(error).__name__,
        hint="run the command again: what was current there still is",
    )
