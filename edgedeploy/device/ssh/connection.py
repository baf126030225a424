"""Devices behind SSH (paramiko): strict host keys, commands whose words are quoted once, streams that cannot block."""

from __future__ import annotations

import contextlib
import shlex
import socket
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import paramiko
from msgspec import Struct

from edgedeploy.device.connection import Completed
from edgedeploy.device.pump import run_to_end
from edgedeploy.device.ssh import key_passphrase
from edgedeploy.device.ssh.known_hosts import KnownKey, fingerprint, host_name, known_keys, remember
from edgedeploy.device.ssh.process import SshProcess, lost
from edgedeploy.foundation.errors import AuthenticationError, UnreachableError

_KEEPALIVE_S = 15
_OPEN_S = 30.0
"""For a channel to be opened, on a slow and loaded device too."""
_UNANSWERED_MS = 60_000
"""How long the device's network may acknowledge nothing; without a limit the kernel goes on trying for 15 minutes."""

# Of what paramiko has, those that OpenSSH offers by default (ssh_config(5), Ciphers and MACs): no CBC, 3DES, MD5 or
# truncated digests. The quickest first: 5.9 MB/s into an emulated Cortex-A72, 170 MB/s on a desktop.
_CIPHERS = ("aes128-ctr", "aes256-ctr", "aes192-ctr", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1",  # the only one that small SSH servers of older devices have
)
_RSA_SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256")
"""How a server offers an RSA key (RFC 8332), which known_hosts calls `ssh-rsa`."""


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
    known_as: str | None = None
    """The name that these files have the host under, instead of host and port (HostKeyAlias)."""
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

    def __init__(
        self, address: str, settings: SshSettings, *, emulated: bool = False, counts_instructions: bool = False
    ) -> None:
        self.address = address
        self.emulated = emulated
        self.counts_instructions = counts_instructions
        self._clients: list[paramiko.SSHClient] = []
        self._spare: Future[paramiko.Channel | None] | None = None
        try:
            self._client = self._connect(settings)
            self._open_ahead()
        except BaseException:
            self.close()
            raise

    def run(self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout_s: float = 60.0) -> Completed:
        return run_to_end(self.start(argv), stdin, timeout_s=timeout_s, command=argv[0], address=self.address)

    def start(self, argv: Sequence[str]) -> SshProcess:
        transport = self._client.get_transport()
        try:
            if transport is None or not transport.is_active():
                raise EOFError("it is closed")
            spare, self._spare = self._spare, None
            channel = (spare.result() if spare is not None else None) or transport.open_session(timeout=_OPEN_S)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise lost(self.address, error) from error
        process = SshProcess(self.address, argv, channel)
        self._open_ahead()
        return process

    def close(self) -> None:
        while self._clients:
            self._clients.pop().close()

    def __enter__(self) -> SshConnection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open_ahead(self) -> None:
        """Open a channel for the next command while this one runs: one wait for the network less. It comes to nothing
        when the server lets us have no more of them now."""
        transport = self._client.get_transport()
        # Dropbear (2022.83) closes channels that are open and not used when a command on another one ends.
        if transport is None or "OpenSSH" not in transport.remote_version:
            return
        opened: Future[paramiko.Channel | None] = Future()

        def open_it() -> None:
            channel = None
            with contextlib.suppress(Exception):  # whoever needs one opens it then, and is told what is wrong
                channel = transport.open_session(timeout=_OPEN_S)
            opened.set_result(channel)

        threading.Thread(target=open_it, daemon=True).start()
        self._spare = opened

    def _connect(self, settings: SshSettings, *, passphrase: str | None = None) -> paramiko.SSHClient:
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
        known_as = settings.known_as or host_name(settings.host, settings.port)
        known = known_keys(settings.known_hosts, known_as)
        client = paramiko.SSHClient()
        self._clients.append(client)
        client.set_missing_host_key_policy(_Trust(settings, known_as, known))
        try:
            client.connect(
                settings.host,
                settings.port,
                settings.user,
                key_filename=[str(path) for path in settings.key_paths if path.is_file()] or None,
                passphrase=passphrase,
                allow_agent=not settings.only_these_keys,
                look_for_keys=not settings.only_these_keys and not settings.key_paths,
                sock=channel,
                timeout=settings.timeout_s,
                banner_timeout=settings.timeout_s,
                auth_timeout=settings.timeout_s,
                transport_factory=lambda *args, **more: _transport(known, *args, **more),
            )
        except paramiko.PasswordRequiredException as error:
            found = key_passphrase.passphrase_for(f"{settings.user}@{where}") if passphrase is None else None
            if found is not None:
                self._clients.remove(client)
                client.close()
                return self._connect(settings, passphrase=found)
            raise AuthenticationError(
                f"the key for {settings.user}@{where} is encrypted",
                why=str(error),
                hint=f"add it to the agent: ssh-add; or put its passphrase into the variable {key_passphrase.VARIABLE}",
            ) from error
        except paramiko.AuthenticationException as error:
            raise AuthenticationError(
                f"{where} does not let {settings.user} in",
                why=f"it refused {_tried(settings)}",
                hint=f"put a public key there: ssh-copy-id -p {settings.port} {settings.user}@{settings.host}",
            ) from error
        except (paramiko.SSHException, EOFError, OSError, ValueError) as error:
            transport = client.get_transport()
            if transport is not None and transport.initial_kex_done and not isinstance(error, EOFError):
                # paramiko tries each key file as each kind of key, and raises what the last attempt gave.
                raise AuthenticationError(
                    f"{where} does not let {settings.user} in",
                    why=f"of {_tried(settings)}, none could be used: {error}",
                    hint=f"check the key files, or put a public key there: "
                    f"ssh-copy-id -p {settings.port} {settings.user}@{settings.host}",
                ) from error
            raise UnreachableError(
                f"{where} does not speak SSH with us",
                why=str(error) or type(error).__name__,
                hint="check host and port",
            ) from error
        transport = client.get_transport()
        assert transport is not None
        transport.set_keepalive(_KEEPALIVE_S)
        return client


class _Trust(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Decides on every host key: paramiko is given none of its own, so that it asks about each."""

    def __init__(self, settings: SshSettings, known_as: str, known: tuple[KnownKey, ...]) -> None:
        self._settings = settings
        self._known_as = known_as
        self._known = known

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        settings, blob = self._settings, key.asbytes()
        where = f"{settings.host}:{settings.port}"
        shown = fingerprint(key.get_name(), blob)
        same = [one for one in self._known if one.blob == blob]
        others = [one for one in self._known if not one.revoked]
        if any(one.revoked for one in same):
            raise AuthenticationError(
                f"the host key of {where} is revoked",
                why=f"it shows {shown}, and {same[0].path} says that this key must not be trusted any more",
                hint="set the device's host keys up anew: ssh-keygen -A",
            )
        if same:
            return
        if others:
            raise AuthenticationError(
                f"the host key of {where} has changed",
                why=f"known is {fingerprint(others[0].kind, others[0].blob)}, it shows {shown}: "
                "either the device was set up anew, or somebody is between you and it",
                hint="if you know why it changed: "
                f"ssh-keygen -f {shlex.quote(str(others[0].path))} -R {shlex.quote(self._known_as)}",
            )
        if not settings.accept_new:
            raise AuthenticationError(
                f"the host key of {where} is not known",
                why=f"it shows {shown}, and no line of {settings.known_hosts[0]} is for {self._known_as}",
                hint="compare that fingerprint with the device's own "
                "(there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then run this again with --accept-new",
            )
        remember(settings.known_hosts[0], self._known_as, key.get_name(), blob)


def _transport(known: tuple[KnownKey, ...], *args: Any, **more: Any) -> paramiko.Transport:
    """A transport that asks for a key of the kind that is known, where a host has several, and uses no weak cipher."""
    transport = paramiko.Transport(*args, **more)
    options = transport.get_security_options()
    kinds = [kind for one in known for kind in (_RSA_SIGNATURES if one.kind == "ssh-rsa" else (one.kind,))]
    options.key_types = sorted(options.key_types, key=lambda kind: kind not in kinds)
    options.ciphers = [name for name in _CIPHERS if name in options.ciphers]
    options.digests = [name for name in _MACS if name in options.digests]
    return transport


def _open_socket(address: str, settings: SshSettings) -> socket.socket:
    try:
        opened = socket.create_connection((settings.host, settings.port), timeout=settings.timeout_s)
        # Commands are rows of small packets: each would wait for the one before to be acknowledged (RFC 896).
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux, RFC 5482
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED_MS)
        return opened
    except socket.gaierror as error:
        raise UnreachableError(
            f"{address}: there is no host called {settings.host!r}",
            why=error.strerror or "",
            hint="check the spelling, or add it to ~/.ssh/config",
        ) from error
    except TimeoutError as error:
        raise UnreachableError(
            f"{address}: {settings.host}:{settings.port} did not answer within {settings.timeout_s:g} s",
            hint="check that the device is on and in this network",
        ) from error
    except OSError as error:
        raise UnreachableError(
            f"{address}: {settings.host}:{settings.port} cannot be reached",
            why=error.strerror or str(error),
            hint="check the port, and that sshd runs on the device",
        ) from error


def _tried(settings: SshSettings) -> str:
    keys = [str(path) for path in settings.key_paths]
    if settings.only_these_keys:
        return f"the key{'s' if len(keys) > 1 else ''} {', '.join(keys)}"
    return f"the agent's keys and {', '.join(keys) or 'the default keys in ~/.ssh'}"
