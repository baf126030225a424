"""Devices behind SSH (paramiko): strict host keys, commands whose words are quoted once, streams that cannot block."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import paramiko
from msgspec import Struct
from paramiko.common import cMSG_CHANNEL_REQUEST

from edgedeploy.device.connection import Completed
from edgedeploy.errors import AuthenticationError, DeviceError, InvalidFileError, UnreachableError
from edgedeploy.files import unwritable

_Moved = TypeVar("_Moved", int, bytes)

_KEEPALIVE_S = 15
_CHUNK_BYTES = 64 << 10
_STDERR_LIMIT_BYTES = 64 << 10
_KILLED = 137
"""Exit status of a shell that a signal ended: 128 + SIGKILL."""
# Some login shells put the command in their own place, and SSH then gives no status for one that a signal ended. This
# shell stays, and says 128 + the signal's number.
_STATUS_KEPT = '"$@"; exit $?'


class SshSettings(Struct, frozen=True, kw_only=True):
    """All that is needed to reach a device."""

    host: str
    port: int = 22
    user: str
    key_paths: tuple[Path, ...] = ()
    """Tried in this order, after the agent's keys."""
    only_these_keys: bool = False
    """Neither the agent nor the default keys in ~/.ssh (IdentitiesOnly)."""
    known_hosts: tuple[Path, ...]
    """The first is the one that `accept_new` writes to. Missing files are empty ones."""
    accept_new: bool = False
    """Trust a host that no file knows yet, and remember its key. A changed key is refused all the same."""
    timeout_s: float = 15.0
    """For the TCP connection, the banner and each step of the authentication."""
    jump: SshSettings | None = None
    """Go through this host first (ProxyJump)."""


class SshConnection:
    """An open SSH connection. A `Connection`.

    Raises:
        UnreachableError: no name, no route, port refused, no answer in time, or not an SSH server.
        AuthenticationError: the host key is unknown or has changed, or no key of ours is accepted.
    """

    def __init__(self, address: str, settings: SshSettings, *, emulated: bool = False) -> None:
        self.address = address
        self.emulated = emulated
        self._clients: list[paramiko.SSHClient] = []
        try:
            self._client = self._connect(settings)
        except BaseException:
            self.close()
            raise

    def run(self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout_s: float = 60.0) -> Completed:
        process = self.start(argv)
        process.alive(timeout_s)
        # Both directions at once: a command that writes while it is still being written to must not block us both.
        output: list[bytes] = []
        failure: list[Exception] = []

        def read() -> None:
            try:
                while chunk := process.stdout.read1(_CHUNK_BYTES):  # type: ignore[attr-defined]
                    output.append(chunk)
                    process.alive(timeout_s)
            except Exception as error:  # handed to the caller below
                failure.append(error)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it ended early; its exit status says why
                for chunk in (stdin,) if isinstance(stdin, bytes) else stdin:
                    process.stdin.write(chunk)
                    process.alive(timeout_s)
                process.stdin.close()
            reader.join()
            if failure:
                raise failure[0]
            completed = process.wait(timeout_s)
        except BaseException:
            process.kill()
            raise
        return Completed(exit_status=completed.exit_status, stdout=b"".join(output), stderr=completed.stderr)

    def start(self, argv: Sequence[str]) -> SshProcess:
        transport = self._client.get_transport()
        try:
            if transport is None:
                raise EOFError("it is closed")
            channel = transport.open_session(timeout=30.0)
            channel.exec_command(shlex.join(["sh", "-c", _STATUS_KEPT, "sh", *argv]).encode())
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise _lost(self.address, error) from error
        return SshProcess(self.address, argv[0], channel)

    def close(self) -> None:
        while self._clients:
            self._clients.pop().close()

    def __enter__(self) -> SshConnection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _connect(self, settings: SshSettings) -> paramiko.SSHClient:
        where = f"{settings.host}:{settings.port}"
        channel: socket.socket | paramiko.Channel
        if settings.jump is not None:
            transport = self._connect(settings.jump).get_transport()
            assert transport is not None
            try:
                channel = transport.open_channel(
                    "direct-tcpip", (settings.host, settings.port), ("127.0.0.1", 0), timeout=settings.timeout_s
                )
            except (paramiko.SSHException, OSError) as error:
                raise UnreachableError(
                    f"{self.address}: {settings.jump.host} does not reach {where}", why=str(error)
                ) from error
        else:
            channel = _open_socket(self.address, settings)
        client = paramiko.SSHClient()
        self._clients.append(client)
        for path in settings.known_hosts:
            _load_known_hosts(client, path)
        client.set_missing_host_key_policy(_Policy(settings))
        try:
            client.connect(
                settings.host,
                settings.port,
                settings.user,
                key_filename=[str(path) for path in settings.key_paths if path.is_file()] or None,
                allow_agent=not settings.only_these_keys,
                look_for_keys=not settings.only_these_keys and not settings.key_paths,
                sock=channel,
                timeout=settings.timeout_s,
                banner_timeout=settings.timeout_s,
                auth_timeout=settings.timeout_s,
            )
        except paramiko.BadHostKeyException as error:
            name = _known_name(settings)
            raise AuthenticationError(
                f"the host key of {where} has changed",
                why=f"known is {_fingerprint(error.expected_key)}, it shows {_fingerprint(error.key)}: "
                "either the device was set up anew, or somebody is between you and it",
                mend="if you know why it changed: "
                f"ssh-keygen -f {shlex.quote(str(settings.known_hosts[0]))} -R {shlex.quote(name)}",
            ) from error
        except paramiko.PasswordRequiredException as error:
            raise AuthenticationError(
                f"the key for {settings.user}@{where} is encrypted", why=str(error), mend="add it to the agent: ssh-add"
            ) from error
        except paramiko.AuthenticationException as error:
            raise AuthenticationError(
                f"{where} does not let {settings.user} in",
                why=f"it refused {_tried(settings)}",
                mend=f"put a public key there: ssh-copy-id -p {settings.port} {settings.user}@{settings.host}",
            ) from error
        except (paramiko.SSHException, EOFError, OSError, ValueError) as error:
            transport = client.get_transport()
            if transport is not None and transport.initial_kex_done and not isinstance(error, EOFError):
                # paramiko tries each key file as each kind of key, and raises what the last attempt gave.
                raise AuthenticationError(
                    f"{where} does not let {settings.user} in",
                    why=f"of {_tried(settings)}, none could be used: {error}",
                    mend=f"check the key files, or put a public key there: "
                    f"ssh-copy-id -p {settings.port} {settings.user}@{settings.host}",
                ) from error
            raise UnreachableError(
                f"{where} does not speak SSH with us",
                why=str(error) or type(error).__name__,
                mend="check host and port",
            ) from error
        transport = client.get_transport()
        assert transport is not None
        transport.set_keepalive(_KEEPALIVE_S)
        return client


class SshProcess:
    """A command on a device behind SSH. A `Process`."""

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
                raise _lost(self._address, EOFError("the connection ended before the command did"))
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
        # Some servers ignore signals; a closed channel ends at least what reads or writes it.
        with contextlib.suppress(Exception):
            self._channel.close()

    def failure(self, error: Exception) -> Exception:
        """What a failed read or write means."""
        if isinstance(error, TimeoutError):
            return DeviceError(
                f"{self._command} is silent for too long on {self._address}", why="no answer in the time allowed"
            )
        return _lost(self._address, error)

    def send(self, data: memoryview) -> int:
        try:
            sent: int = self._patiently(lambda: self._channel.send(data[:_CHUNK_BYTES]))
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
                    chunk = self._channel.recv_stderr(_CHUNK_BYTES)
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
        chunk = self._process.receive(_CHUNK_BYTES)
        self._waiting += chunk
        self._ended = not chunk

    def _take(self, size: int) -> bytes:
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        return taken


class _Policy(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Refuses a host that no known_hosts file has, or remembers it when told to."""

    def __init__(self, settings: SshSettings) -> None:
        self._settings = settings

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        settings = self._settings
        name = _known_name(settings)
        path = settings.known_hosts[0]
        if not settings.accept_new:
            raise AuthenticationError(
                f"the host key of {settings.host}:{settings.port} is not known",
                why=f"it shows {_fingerprint(key)}, and no line of {path} is for {name}",
                mend="compare that fingerprint with the device's own "
                "(there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then run this again with --accept-new",
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with path.open("a+b") as file:
                if not _ends_line(file):
                    file.write(b"\n")
                file.write(f"{name} {key.get_name()} {key.get_base64()}\n".encode("ascii"))
        except OSError as error:
            raise unwritable(path, error) from error


def _open_socket(address: str, settings: SshSettings) -> socket.socket:
    try:
        return socket.create_connection((settings.host, settings.port), timeout=settings.timeout_s)
    except socket.gaierror as error:
        raise UnreachableError(
            f"{address}: there is no host called {settings.host!r}",
            why=error.strerror or "",
            mend="check the spelling, or add it to ~/.ssh/config",
        ) from error
    except TimeoutError as error:
        raise UnreachableError(
            f"{address}: {settings.host}:{settings.port} did not answer within {settings.timeout_s:g} s",
            mend="check that the device is on and in this network",
        ) from error
    except OSError as error:
        raise UnreachableError(
            f"{address}: {settings.host}:{settings.port} cannot be reached",
            why=error.strerror or str(error),
            mend="check the port, and that sshd runs on the device",
        ) from error


def _load_known_hosts(client: paramiko.SSHClient, path: Path) -> None:
    try:
        client.load_system_host_keys(str(path))
    except FileNotFoundError:
        pass  # nobody has been trusted yet
    except OSError as error:
        raise InvalidFileError(f"{path} cannot be read", why=error.strerror or "") from error
    except Exception as error:  # a damaged line raises whatever its decoder raises
        raise InvalidFileError(f"{path} has a line that is not a host key", why=str(error)) from error


def _known_name(settings: SshSettings) -> str:
    return settings.host if settings.port == 22 else f"[{settings.host}]:{settings.port}"


def _ends_line(file: BinaryIO) -> bool:
    """Whether a file that was opened for appending is empty or ends with a line's end."""
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _fingerprint(key: Any) -> str:
    return f"{key.get_name()} {key.fingerprint}"


def _tried(settings: SshSettings) -> str:
    keys = [str(path) for path in settings.key_paths]
    if settings.only_these_keys:
        return f"the key{'s' if len(keys) > 1 else ''} {', '.join(keys)}"
    return f"the agent's keys and {', '.join(keys) or 'the default keys in ~/.ssh'}"


def _lost(address: str, error: Exception) -> UnreachableError:
    return UnreachableError(
        f"the connection to {address} was lost",
        why=str(error) or type(error).__name__,
        mend="run the command again: what was current there still is",
    )
