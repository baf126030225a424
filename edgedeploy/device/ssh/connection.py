"""Devices behind SSH (paramiko): strict host keys, commands whose words are quoted once, streams that cannot block."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import paramiko

from edgedeploy.device.connection import Completed
from edgedeploy.device.probe.machine_kind import machine_kind
from edgedeploy.device.pump import run_to_end
from edgedeploy.device.ssh import key_passphrase
from edgedeploy.device.ssh.agent import named_key
from edgedeploy.device.ssh.algorithms import left_of
from edgedeploy.device.ssh.host_keys import HostKeyPolicy
from edgedeploy.device.ssh.known_hosts import KnownKey, host_name, known_keys, revoked_keys
from edgedeploy.device.ssh.login_errors import login_error
from edgedeploy.device.ssh.process import SshProcess
from edgedeploy.device.ssh.sessions import Sessions
from edgedeploy.device.ssh.settings import SshSettings
from edgedeploy.device.ssh.tcp import open_socket
from edgedeploy.foundation.errors import UnreachableError
from edgedeploy.foundation.ownership import require_secret_file
from edgedeploy.foundation.reading import KEY
from edgedeploy.values.probe import MachineKind

# Without a handler, Python prints what paramiko logs, e.g. of each session that a server refuses.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_KEEPALIVE_S = 15

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
_OTHER_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


class SshConnection:
    """An open SSH connection. A `Connection`.

    Raises:
        UnreachableError: no name, no route, port refused, no answer in time, or not an SSH server.
        AuthenticationError: the host key is unknown or has changed, or no key of ours is accepted.
    """

    def __init__(
        self,
        address: str,
        settings: SshSettings,
        *,
        emulated: bool | None = None,
        virtual_machine: str | None = None,
        counts_instructions: bool = False,
        emulator: str | None = None,
    ) -> None:
        self.address = address
        self.emulator = emulator
        if emulated is not None:
            self.emulated = emulated
        if emulated:  # a board of ours, which is not asked
            self.virtual_machine = virtual_machine
        self.counts_instructions = counts_instructions
        self._settings = settings
        self._passphrases: dict[str, str] = {}
        """By login, for further connections of this one."""
        self._clients: list[paramiko.SSHClient] = []
        try:
            self._sessions = Sessions(address, self._log_in_once(), self._log_in_once)
        except BaseException:
            self.close()
            raise

    @cached_property
    def emulated(self) -> bool:
        """Whether an emulator executes the device's programs. The device is asked once, where that is not known."""
        return self._kind.kind == "emulator"

    @cached_property
    def virtual_machine(self) -> str | None:
        """The hypervisor, where the device is a virtual machine."""
        return self._kind.hypervisor

    @cached_property
    def _kind(self) -> MachineKind:
        return machine_kind(self)

    def run(self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout_s: float = 60.0) -> Completed:
        return run_to_end(self.start(argv), stdin, timeout_s=timeout_s, command=argv[0], address=self.address)

    def start(self, argv: Sequence[str]) -> SshProcess:
        return SshProcess(self.address, argv, self._sessions.open(), self._sessions.open)

    def reopen(self) -> None:
        self.close()
        self._sessions = Sessions(self.address, self._log_in_once(), self._log_in_once)

    def close(self) -> None:
        while self._clients:
            self._clients.pop().close()

    def __enter__(self) -> SshConnection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _log_in_once(self) -> paramiko.Transport:
        transport = self._connect(self._settings).get_transport()
        assert transport is not None
        return transport

    def _connect(self, settings: SshSettings) -> paramiko.SSHClient:
        tcp = self._through(settings.jump, settings) if settings.jump else open_socket(self.address, settings)
        known_as = settings.known_as or host_name(settings.host, settings.port)
        known = known_keys(settings.known_hosts, known_as)
        if settings.revoked_keys is not None:
            known += revoked_keys(settings.revoked_keys)
        login = f"{settings.user}@{settings.where}"
        passphrase = self._passphrases.get(login)
        client = paramiko.SSHClient()
        self._clients.append(client)
        client.set_missing_host_key_policy(HostKeyPolicy(settings, known_as, known))
        try:
            _log_in(client, settings, tcp, known, passphrase)
        except paramiko.PasswordRequiredException as error:
            asked = key_passphrase.passphrase_for(login) if passphrase is None else None
            if asked is None:
                raise login_error(settings, client.get_transport(), error) from error
            self._clients.remove(client)
            client.close()
            self._passphrases[login] = asked
            return self._connect(settings)
        except (paramiko.SSHException, EOFError, OSError, ValueError) as error:
            raise login_error(settings, client.get_transport(), error) from error
        transport = client.get_transport()
        assert transport is not None
        transport.set_keepalive(_KEEPALIVE_S)
        return client

    def _through(self, jump: SshSettings, settings: SshSettings) -> paramiko.Channel:
        """Reach a host by way of another one, which is connected to first."""
        transport = self._connect(jump).get_transport()
        assert transport is not None
        try:
            return transport.open_channel(
                "direct-tcpip", (settings.host, settings.port), ("127.0.0.1", 0), timeout=settings.timeout_s
            )
        except (paramiko.SSHException, OSError) as error:
            raise UnreachableError(
                f"{self.address}: {jump.host} does not reach {settings.where}", why=str(error)
            ) from error


def _log_in(
    client: paramiko.SSHClient,
    settings: SshSettings,
    tcp: socket.socket | paramiko.Channel,
    known: tuple[KnownKey, ...],
    passphrase: str | None,
) -> None:
    client.connect(
        settings.host,
        settings.port,
        settings.user,
        key_filename=[str(path) for path in settings.key_paths if _may_be_a_key(path)] or None,
        pkey=named_key(settings.key_paths),
        passphrase=passphrase,
        allow_agent=not settings.only_these_keys,
        look_for_keys=not settings.only_these_keys and not settings.key_paths,
        sock=tcp,
        timeout=settings.timeout_s,
        banner_timeout=settings.timeout_s,
        auth_timeout=settings.timeout_s,
        disabled_algorithms={"pubkeys": _disabled_signatures(settings)},
        transport_factory=lambda *args, **more: _transport(settings, known, *args, **more),
    )
    # After the login: a key that is refused there needs other words than one whose mode is wrong.
    for path in settings.key_paths:
        require_secret_file(path)


def _disabled_signatures(settings: SshSettings) -> list[str]:
    """Return how an RSA key of ours must not sign. Keys of other kinds have one way, which the server takes or not."""
    text = settings.algorithms.public_keys
    left = left_of((*_RSA_SIGNATURES, *_OTHER_KEYS), "PubkeyAcceptedAlgorithms", text, host=settings.host)
    return [name for name in _RSA_SIGNATURES if name not in left]


def _transport(settings: SshSettings, known: tuple[KnownKey, ...], *args: Any, **more: Any) -> paramiko.Transport:
    """Make a transport that asks for the kind of host key that is known, and uses no weak cipher."""
    transport = paramiko.Transport(*args, **more)
    options = transport.get_security_options()
    allowed, host = settings.algorithms, settings.host
    kinds = [
        kind for key in known if not key.revoked for kind in (_RSA_SIGNATURES if key.kind == "ssh-rsa" else (key.kind,))
    ]
    host_keys = left_of(options.key_types, "HostKeyAlgorithms", allowed.host_keys, host=host)
    options.key_types = sorted(host_keys, key=lambda kind: kind not in kinds)
    options.kex = left_of(options.kex, "KexAlgorithms", allowed.key_exchange, host=host)
    ciphers = [name for name in _CIPHERS if name in options.ciphers]
    options.ciphers = left_of(ciphers, "Ciphers", allowed.ciphers, host=host)
    macs = [name for name in _MACS if name in options.digests]
    options.digests = left_of(macs, "MACs", allowed.macs, host=host)
    return transport


def _may_be_a_key(path: Path) -> bool:
    """Tell whether a file is of a key's size: paramiko reads it whole, to see what it is."""
    return path.is_file() and path.stat().st_size <= KEY.size_bytes
