"""What `~/.ssh/config` says of a host. paramiko reads it; `Include`, which it does not know, is done here by hand."""

from __future__ import annotations

import getpass
import glob
import os
import re
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
from msgspec import Struct

from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.reading import SSH_TEXT, read_text

_MATCH_CRITERIA = ("all", "canonical", "final", "host", "originalhost", "user", "localuser")
_FILE_OPTIONS = ("identityfile", "userknownhostsfile", "revokedhostkeys")
_MOST_INCLUDES = 16
"""Files within files, as in OpenSSH: more are a circle."""


class _OpenSshConfig(paramiko.SSHConfig):  # type: ignore[misc]
    """paramiko's reader, that takes no criterion for true that it does not know, and expands what OpenSSH expands."""

    def _does_match(self, match_list: list[Any], host: str, *more: Any) -> Any:
        for count, candidate in enumerate(match_list):
            if candidate["type"] not in _MATCH_CRITERIA:
                # What stands before it may already rule the block out.
                if count and not super()._does_match(match_list[:count], host, *more):
                    return False
                raise UnsupportedError(
                    f"~/.ssh/config has a block for {host} that depends on `Match {candidate['type']}`",
                    why="edgedeploy does not judge this criterion",
                    hint=f"write the settings of {host} into a block of its own: Host {host}",
                )
        return super()._does_match(match_list, host, *more)

    def _tokenize(self, config: Any, host: str, key: str, value: str) -> str:
        if key not in _FILE_OPTIONS:
            return str(super()._tokenize(config, host, key, value))
        name = str(config.get("hostname", host)).replace("%h", host)
        here = socket.gethostname()
        tokens = {
            "%": "%",
            "d": str(Path.home()),
            "h": name,
            "i": str(os.getuid()),
            "k": str(config.get("hostkeyalias", host)),
            "L": here.split(".")[0],
            "n": host,
            "p": str(config.get("port", 22)),
            "r": str(config.get("user", getpass.getuser())),
            "u": getpass.getuser(),
        }

        def expand(match: re.Match[str]) -> str:
            word = match["token"]
            found = os.environ.get(match["variable"]) if match["variable"] else tokens.get(word)
            if found is None:
                raise ValueError(f"{match[0]} in {key} is not expanded: {value}")
            return found

        return re.sub(r"%(?P<token>.?)|\$\{(?P<variable>\w+)\}", expand, value)


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
    jump: str | None
    """As ProxyJump has it: hosts to go through, separated by commas."""


def host_config(host: str) -> HostConfig:
    """Read `~/.ssh/config` and the files that it includes; a missing one is empty.

    Raises:
        InvalidFileError: it cannot be read, or has a mistake.
        UnsupportedError: it asks for what edgedeploy does not do (ProxyCommand).
    """
    path = Path.home() / ".ssh" / "config"
    found: dict[str, object] = {}
    if path.is_file():
        try:
            found = dict(_OpenSshConfig.from_text("\n".join(_lines(path))).lookup(host))
        except (OSError, ValueError, KeyError, paramiko.SSHException) as error:
            raise InvalidFileError(f"{path} cannot be read as SSH's configuration", why=str(error)) from error
    port = str(found.get("port", 22))
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise InvalidFileError(f"{path} gives {host} the port {port!r}", hint="write a number up to 65535")
    jump = str(found.get("proxyjump", "none"))
    if found.get("proxycommand") and jump == "none":
        raise UnsupportedError(
            f"{host} is reached by a ProxyCommand, which edgedeploy does not run",
            why=f"{path} says so",
            hint="name the host to go through with ProxyJump",
        )
    identities = found.get("identityfile", [])
    revoked = str(found.get("revokedhostkeys", "none"))
    return HostConfig(
        host=str(found.get("hostname", host)),
        port=int(port),
        user=str(found.get("user", getpass.getuser())),
        key_paths=tuple(_expanded(str(name)) for name in identities) if isinstance(identities, list) else (),
        only_these_keys=str(found.get("identitiesonly", "no")).lower() == "yes",
        known_hosts=(
            *_known_hosts(str(found.get("userknownhostsfile", "")), Path.home() / ".ssh" / "known_hosts"),
            *_known_hosts(str(found.get("globalknownhostsfile", "")), Path("/etc/ssh/ssh_known_hosts")),
        ),
        revoked_keys=None if revoked.lower() == "none" else _expanded(revoked),
        known_as=str(found["hostkeyalias"]) if found.get("hostkeyalias") else None,
        jump=None if jump == "none" else jump,
    )


def _lines(path: Path, depth: int = 0) -> Iterator[str]:
    """Yield the lines of a file, with those of the files that it includes in their places."""
    if depth > _MOST_INCLUDES:
        raise ValueError(f"{path} is included in a circle")
    block = "Host *"
    for line in read_text(path, SSH_TEXT).splitlines():
        keyword, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if keyword.lower() != "include":
            if keyword.lower() in ("host", "match"):
                block = line
            yield line
            continue
        for pattern in shlex.split(rest):
            for name in sorted(glob.glob(str(Path.home() / ".ssh" / _expanded(pattern)))):  # noqa: PTH207 (absolute too)
                yield from _lines(Path(name), depth + 1)
        # What follows belongs to the block that the line stood in, not to the included file's last one.
        yield block


def _known_hosts(words: str, default: Path) -> tuple[Path, ...]:
    if words.lower() == "none":
        return (Path("/dev/null"),)
    return tuple(_expanded(word) for word in words.split()) or (default,)


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # ~somebody whom this machine does not know: no such file
        return Path(name)
