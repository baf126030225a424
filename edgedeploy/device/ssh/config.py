"""What the user's and the system's configuration of SSH say of a host, as what edgedeploy does with it."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import socket
from pathlib import Path

from msgspec import Struct

from edgedeploy.device.ssh.algorithms import AllowedAlgorithms
from edgedeploy.device.ssh.config_file import ConfigFile, unreadable_config
from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.home import home_folder

_DEFAULT_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")
"""In OpenSSH's order; those of security keys are the agent's."""
_SYSTEM_FILE = Path("/etc/ssh/ssh_config")
_NOT_DONE = (
    ("proxycommand", "ProxyCommand", "none", "name the host to go through with ProxyJump"),
    ("knownhostscommand", "KnownHostsCommand", "none", "write the host's key into ~/.ssh/known_hosts"),
    ("pkcs11provider", "PKCS11Provider", "none", "give its keys to the agent: ssh-add -s PROVIDER"),
    ("securitykeyprovider", "SecurityKeyProvider", "internal", "give the key to the agent: ssh-add KEY"),
)
"""Options that name a program or a library, what is harmless, and what to do instead."""


class HostConfig(Struct, frozen=True, kw_only=True):
    """A host's entries, or what holds without any."""

    host: str
    port: int
    user: str
    key_paths: tuple[Path, ...]
    only_these_keys: bool
    known_hosts: tuple[Path, ...]
    revoked_keys: Path | None
    """A file of host keys that are trusted for no host (RevokedHostKeys)."""
    known_as: str | None
    """The name that known_hosts has it under, where that is another one (HostKeyAlias)."""
    algorithms: AllowedAlgorithms
    connect_timeout_s: float | None
    """ConnectTimeout."""
    jump: str | None
    """As ProxyJump has it: hosts to go through, separated by commas."""


def host_config(
    host: str, *, user: str | None = None, port: int | None = None, system_file: Path = _SYSTEM_FILE
) -> HostConfig:
    """Read `~/.ssh/config`, then the system's file, and the files that they include; a missing one is empty.

    Args:
        user, port: what is given besides, as on the command line of ssh: it wins, and `Match user` is judged by it.

    Raises:
        InvalidFileError: one cannot be read, or has a mistake.
        UnsupportedError: they ask for what edgedeploy does not do (ProxyCommand, KnownHostsCommand …).
    """
    path = home_folder() / ".ssh" / "config"
    given = {name: [str(value)] for name, value in (("user", user), ("port", port)) if value is not None}
    try:
        return _host_config(ConfigFile((path, system_file), host, given), path, host)
    except (OSError, ValueError) as error:
        raise unreadable_config(path, error) from error


def _host_config(found: ConfigFile, path: Path, host: str) -> HostConfig:
    port = found.value("port", "22")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidFileError(f"{path} gives {host} the port {port!r}", hint="write a number up to 65535")
    for option, named, harmless, hint in _NOT_DONE:
        if found.value(option, harmless).lower() != harmless:
            raise UnsupportedError(
                f"{host} depends on a {named}, which edgedeploy does not run", why=f"{path} says so", hint=hint
            )
    user = found.value("user", getpass.getuser())
    tokens = _tokens(found, host, port, user)

    def files(option: str) -> tuple[Path, ...]:
        words = found.options.get(option, [])
        return tuple(_expanded(_replaced(word, tokens, option)) for word in words if word.lower() != "none")

    def known_hosts(option: str, default: Path) -> tuple[Path, ...]:
        if found.value(option).lower() == "none":
            return (Path(os.devnull),)
        return files(option) or (default,)

    only_these_keys = found.value("identitiesonly", "no").lower() in ("yes", "true")
    keys = files("identityfile")
    if only_these_keys and not keys:
        folder = home_folder() / ".ssh"
        keys = tuple(folder / name for name in _DEFAULT_KEYS if (folder / name).is_file())
    _require_beside_keys(files("certificatefile"), keys, host)
    jump = found.value("proxyjump", "none")
    return HostConfig(
        host=found.hostname,
        port=int(port),
        user=user,
        key_paths=keys,
        only_these_keys=only_these_keys,
        known_hosts=(
            *known_hosts("userknownhostsfile", home_folder() / ".ssh" / "known_hosts"),
            *known_hosts("globalknownhostsfile", Path("/etc/ssh/ssh_known_hosts")),
        ),
        revoked_keys=next(iter(files("revokedhostkeys")), None),
        known_as=found.value("hostkeyalias") or None,
        algorithms=AllowedAlgorithms(
            host_keys=found.value("hostkeyalgorithms"),
            public_keys=found.value("pubkeyacceptedalgorithms"),
            key_exchange=found.value("kexalgorithms"),
            ciphers=found.value("ciphers"),
            macs=found.value("macs"),
        ),
        connect_timeout_s=_seconds(found.value("connecttimeout", "none")),
        jump=None if jump.lower() == "none" else _replaced(jump, tokens, "ProxyJump"),
    )


def _require_beside_keys(certificates: tuple[Path, ...], keys: tuple[Path, ...], host: str) -> None:
    """Refuse certificates that would not be used: paramiko finds those that are beside their keys."""
    known = {key.with_name(f"{key.name}-cert.pub") for key in keys}
    for certificate in certificates:
        if certificate not in known:
            key = next(iter(keys), home_folder() / ".ssh" / "id_ed25519")
            raise UnsupportedError(
                f"{host} depends on the certificate {certificate}, which is not beside its key",
                why="it is found only as KEY-cert.pub, beside a KEY that IdentityFile names",
                hint=shlex.join(["cp", str(certificate), f"{key}-cert.pub"]),
            )


def _seconds(text: str) -> float | None:
    """Read a time as ssh_config(5) has it (TIME FORMATS in sshd_config(5)); None for `none`."""
    if text.lower() == "none":
        return None
    if re.fullmatch(r"(?:\d{1,9}[smhdw]?)+", text.lower()) is None:
        raise ValueError(f"this is no time: {text}")
    units_s = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    return float(sum(int(number) * units_s[unit] for number, unit in re.findall(r"(\d+)([smhdw]?)", text.lower())))


def _tokens(found: ConfigFile, host: str, port: str, user: str) -> dict[str, str]:
    """Return what stands for `%x` in the names of files (ssh_config(5), TOKENS)."""
    return {
        "%": "%",
        "d": str(home_folder()),
        "h": found.hostname,
        "i": str(os.getuid()),
        "k": found.value("hostkeyalias", host),
        "L": socket.gethostname().split(".")[0],
        "n": host,
        "p": port,
        "r": user,
        "u": getpass.getuser(),
    }


def _replaced(value: str, tokens: dict[str, str], option: str) -> str:
    def one(match: re.Match[str]) -> str:
        found = os.environ.get(match["variable"]) if match["variable"] else tokens.get(match["token"])
        if found is None:
            raise ValueError(f"{match[0]} in {option} is not expanded: {value}")
        return found

    return re.sub(r"%(?P<token>.?)|\$\{(?P<variable>\w+)\}", one, value)


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # ~somebody whom this machine does not know: no such file
        return Path(name)
