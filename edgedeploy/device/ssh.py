"""Devices behind SSH (paramiko): strict host keys, commands whose words are quoted once, streams that cannot block."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import paramiko
from msgspec import Struct

from edgedeploy.device.connection import Completed
from edgedeploy.device.ssh_process import CHUNK_BYTES, SshProcess, lost
from edgedeploy.errors import AuthenticationError, InvalidFileError, UnreachableError
from edgedeploy.files import unwritable

_KEEPALIVE_S = 15
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
                while chunk := process.stdout.read1(CHUNK_BYTES):  # type: ignore[attr-defined]
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
            raise lost(self.address, error) from error
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
