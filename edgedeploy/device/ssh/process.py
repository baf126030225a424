"""A command on a device behind SSH: streams that cannot block, and an end that is known."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import BinaryIO, cast

import paramiko

from edgedeploy.device.backlog import POLL_S, QUIET_S, Backlog
from edgedeploy.device.connection import Completed
from edgedeploy.device.pump import did_not_end, says_too_much
from edgedeploy.device.ssh.command_errors import did_not_begin, lost, runs_no_commands
from edgedeploy.device.ssh.login_shell import for_any_shell
from edgedeploy.device.streams import Reader, Writer
from edgedeploy.device.watchdog import SilenceLimit

_CHUNK_BYTES = 64 << 10
_STDERR_LIMIT_BYTES = 64 << 10
_KILLED = 137
"""Exit status of a shell that a signal ended: 128 + SIGKILL."""
_END_S = 5.0
"""For a killed command to be gone, and for its server to say so."""
_KILL_S = 10.0
"""For all that is done to kill a command, over a connection that may hang."""
_MOST_CHANNELS = 4
"""That a command is asked for on: Dropbear may close several in a row before it (see `Sessions`)."""
_BEGIN_S = 120.0
"""From the login to the command, on an emulated board of a busy machine too."""
_NOISE_LIMIT_BYTES = 1 << 20
# Files that login shells read may print; the command's own output begins after this line, which has the number of the
# process that started it. And some shells put the command in their own place, for which SSH then gives no status when a
# signal ended it: this one stays, and says 128 + the signal's number.
# And those files may go to another folder.
_WRAPPED = 'echo "$0: here $$"; cd -- "${HOME:-.}" 2>/dev/null; "$@"; exit $?'
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
    return for_any_shell(["sh", "-c", _WRAPPED, "edgedeploy", *argv])


class SshProcess:
    """A command on a device behind SSH. A `Process`.

    Args:
        channel: open, and not used yet.
        further_channel: opens another one to the same device, to end the command over it, or to begin it on where the
            server closed the first one.
    """

    def __init__(
        self,
        address: str,
        argv: Sequence[str],
        channel: paramiko.Channel,
        further_channel: Callable[[], paramiko.Channel],
    ) -> None:
        self.address = address
        self.command = argv[0]
        self._channel = channel
        self._further_channel = further_channel
        self._accepted = threading.Event()
        self._killed = False
        self._kill_once = threading.Lock()
        self._backlog = Backlog()
        self._errors = bytearray()
        self._begins_by = time.monotonic() + _BEGIN_S
        self._reader = _BegunReader(self)
        self.stdin = cast(BinaryIO, Writer(self.send, self.end_of_input))
        self.stdout = cast(BinaryIO, self._reader)
        self._drain = threading.Thread(target=self._execute, args=(command_line(argv),), daemon=True)
        self._drain.start()

    def wait(self, timeout_s: float | None = None) -> Completed:
        silence = SilenceLimit(self, timeout_s)
        try:
            with silence:
                self.stdin.close()
                rest = self.stdout.read()
                while not (self._channel.status_event.wait(POLL_S) or self._killed):
                    pass
                status = self._channel.exit_status
            if silence.exceeded:
                raise did_not_end(self.command, self.address, timeout_s)
            self._drain.join(QUIET_S)
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
        with self._kill_once:
            if self._killed:
                return
            # Whoever reads or writes sees this, even where the server says nothing any more.
            self._killed = True
        ending = threading.Thread(target=self._end, daemon=True)
        ending.start()
        ending.join(_KILL_S)

    def send(self, data: memoryview) -> int:
        """Send some of `data`. Returns how many bytes.

        Raises:
            BrokenPipeError: the command takes no more.
            UnreachableError: the connection was lost.
        """
        sent = 0
        while not self._killed:
            if not self._accepted.wait(POLL_S):
                continue
            try:
                sent = self._channel.send(data[:_CHUNK_BYTES])
            except TimeoutError:
                # A child that the command left behind may hold its input, and not read from it.
                if not self._channel.status_event.is_set():
                    continue
            except (OSError, EOFError) as error:
                if isinstance(error, EOFError) or self._is_lost():
                    raise lost(self.address, error) from error
            break
        if sent == 0:
            raise BrokenPipeError(32, f"{self.command} on {self.address} takes no more input")
        return sent

    def receive(self) -> bytes:
        """Wait for output. Returns some of it; nothing at its end, or soon after the command's.

        Raises:
            UnreachableError: the connection was lost.
            DeviceError: the login shell has not come to the command in time.
        """
        while not self._killed and not (self._channel.status_event.is_set() and self._backlog.is_over()):
            if self._reader.process_id is None and time.monotonic() > self._begins_by:
                raise did_not_begin(self.address, _BEGIN_S)
            if not self._accepted.wait(POLL_S):
                continue
            try:
                chunk: bytes = self._channel.recv(_CHUNK_BYTES)
            except TimeoutError:
                continue
            except OSError as error:
                raise lost(self.address, error) from error
            self._backlog.took(len(chunk))
            return chunk
        return b""

    def end_of_input(self) -> None:
        """Let the command see the end of its input."""
        while not (self._accepted.wait(POLL_S) or self._killed):
            pass
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def check_begun(self, said: bytes) -> None:
        """Raise an error unless it is clear why the command never began, after its output has ended.

        Args:
            said: what came instead.

        Raises:
            UnreachableError: the connection was lost.
            DeviceError: the server runs no commands.
        """
        if self._killed:
            return
        if self._is_lost():
            raise lost(self.address, EOFError("the connection ended before the command began"))
        self._drain.join(QUIET_S)
        raise runs_no_commands(self.address, said, bytes(self._errors))

    def _execute(self, line: str) -> None:
        """Start the command, then read its standard error to the end.

        The server's word that it starts takes as long as the network does there and back; so it is awaited here. A
        server that refuses, and a connection that is lost, close the channel, which whoever reads or writes it finds.
        """
        try:
            with contextlib.suppress(Exception):
                self._ask_for(line)
        finally:
            self._accepted.set()
        with contextlib.suppress(Exception):
            while not self._killed:
                try:
                    chunk = self._channel.recv_stderr(_CHUNK_BYTES)
                except TimeoutError:
                    continue
                if not chunk:
                    break
                self._errors += chunk
                del self._errors[:-_STDERR_LIMIT_BYTES]

    def _ask_for(self, line: str) -> None:
        for further in range(1, _MOST_CHANNELS + 1):
            self._channel.settimeout(POLL_S)
            try:
                self._channel.exec_command(line)
                return
            except paramiko.SSHException:
                # Closed before the server heard of the command: it has not begun, and may be asked for once more.
                if self._killed or not self._channel.get_transport().is_active() or further == _MOST_CHANNELS:
                    raise
            self._channel = self._further_channel()

    def _end(self) -> None:
        with contextlib.suppress(Exception):
            if not self._channel.status_event.is_set():
                self._kill_there()
        # What could not be killed by its number ends when it reads or writes.
        with contextlib.suppress(Exception):
            self._channel.close()

    def _kill_there(self) -> None:
        """End the command by its number, over another channel: paramiko sends no signals (RFC 4254, section 6.9), and
        sshd passes none on to commands of root."""
        if self._reader.process_id is None or not self._channel.get_transport().is_active():
            return
        with self._further_channel() as channel:
            channel.exec_command(for_any_shell(["sh", "-c", _KILL, "sh", self._reader.process_id]))
            # Dropbear (2022.83), when a command ends, closes every channel on which none has begun yet, and then the
            # connection, when something comes for such a channel. So it has to have said that both are gone.
            for each in (self._channel, channel):
                each.status_event.wait(_END_S)

    def _is_lost(self) -> bool:
        """Tell whether the connection has ended, after a channel has."""
        if self._channel.status_event.is_set() and self._channel.exit_status != -1:
            return False
        transport = self._channel.get_transport()
        # When it is lost, paramiko closes the channels first, and the transport's own thread ends a moment later.
        transport.join(1.0)
        return not transport.is_active()


class _BegunReader(Reader):
    """Drops what login shells print before the command has begun."""

    def __init__(self, process: SshProcess) -> None:
        super().__init__(process.receive)
        self._process = process
        self.process_id: str | None = None
        """Of the wrapper, once it has begun."""

    def _fill(self) -> None:
        self._receive()
        if self.process_id is None:
            self._skip_noise()
            if not self._waiting and not self._ended:
                self._receive()

    def _skip_noise(self) -> None:
        while self.process_id is None and not self._ended:
            mark = _BEGUN.search(self._waiting)
            if mark:
                self.process_id = mark[1].decode()
                del self._waiting[: mark.end()]
            elif len(self._waiting) > _NOISE_LIMIT_BYTES:
                raise says_too_much(self._process.command, self._process.address)
            else:
                self._receive()
        if self.process_id is None:
            self._process.check_begun(self._take(len(self._waiting)))
