"""Which host keys are trusted: OpenSSH's known_hosts files (sshd(8), «SSH_KNOWN_HOSTS FILE FORMAT»).

By hand, since paramiko's `HostKeys` knows no `@revoked`, no `!pattern`, one key of a kind for a host, and not in which
file a key stands.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.files import unreadable, unwritable
from edgedeploy.foundation.reading import KNOWN_HOSTS, read_file


class KnownKey(Struct, frozen=True, kw_only=True):
    """A key that a file has for a host."""

    path: Path
    kind: str
    """As in the file, e.g. `"ssh-ed25519"`."""
    blob: bytes
    """RFC 4253, section 6.6."""
    revoked: bool


def host_name(host: str, port: int) -> str:
    """Write a host's name as known_hosts has it."""
    return host if port == 22 else f"[{host}]:{port}"


def known_keys(paths: Iterable[Path], name: str) -> tuple[KnownKey, ...]:
    """Find the keys that the files have for a host. Missing files and lines that are no keys count as empty.

    Keys of certificate authorities are left out: a host is known by its own key here.

    Args:
        name: as `host_name` writes it.

    Raises:
        InvalidFileError: a file cannot be read.
    """
    found = []
    for path in paths:
        try:
            content = read_file(path, KNOWN_HOSTS)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise unreadable(path, error) from error
        for line in content.decode(errors="replace").splitlines():
            key = _key_for(line, name, path)
            if key is not None:
                found.append(key)
    return tuple(found)


def revoked_keys(path: Path) -> tuple[KnownKey, ...]:
    """Read a file of `RevokedHostKeys` (ssh_config(5)): public keys, one a line.

    Raises:
        InvalidFileError: it is not there or cannot be read: no host can be trusted then.
        UnsupportedError: it is a binary revocation list (KRL).
    """
    try:
        content = read_file(path, KNOWN_HOSTS)
    except OSError as error:
        raise InvalidFileError(
            f"{path}, the file of revoked host keys, cannot be read",
            why=error.strerror or "",
            hint="mend RevokedHostKeys in ~/.ssh/config; without the file no host is trusted",
        ) from error
    if content.startswith(b"SSHKRL"):
        raise UnsupportedError(
            f"{path} is a binary revocation list (KRL), which edgedeploy does not read",
            why="RevokedHostKeys in ~/.ssh/config names it",
            hint="write the revoked public keys into a text file, one a line",
        )
    found = []
    for line in content.decode(errors="replace").splitlines():
        key = _key_for(f"@revoked * {line.strip()}", "any", path) if line.strip() else None
        if key is not None:
            found.append(key)
    return tuple(found)


def remember(path: Path, name: str, kind: str, blob: bytes) -> None:
    """Add a key to a file, which is made if it is not there.

    Raises:
        HostError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("a+b") as file:
            if not _ends_line(file):
                file.write(b"\n")
            file.write(f"{name} {kind} {base64.b64encode(blob).decode()}\n".encode())
    except OSError as error:
        raise unwritable(path, error) from error


def fingerprint(kind: str, blob: bytes) -> str:
    """Write the type and the SHA-256 of a key, as `ssh-keygen -l` prints them."""
    return f"{kind} SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


def _key_for(line: str, name: str, path: Path) -> KnownKey | None:
    fields = line.split()
    marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
    if len(fields) < 3 or fields[0].startswith("#") or marker not in ("", "@revoked") or not _names(fields[0], name):
        return None
    try:
        blob = base64.b64decode(fields[2], validate=True)
    except binascii.Error:
        return None
    return KnownKey(path=path, kind=fields[1], blob=blob, revoked=marker == "@revoked")


def _names(hosts: str, name: str) -> bool:
    """Tell whether a line is for the host: its first field is a hash of its name, or patterns that allow it."""
    if hosts.startswith("|"):
        try:
            _, version, salt, digest = hosts.split("|")
            expected = hmac.digest(base64.b64decode(salt), name.lower().encode(), "sha1")
            return version == "1" and hmac.compare_digest(expected, base64.b64decode(digest))
        except ValueError:
            return False
    matches = False
    for pattern in hosts.lower().split(","):
        # Brackets are part of names here, not sets of characters.
        if fnmatch.fnmatchcase(name.lower(), pattern.removeprefix("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            matches = True
    return matches


def _ends_line(file: BinaryIO) -> bool:
    """Tell whether a file that was opened for appending is empty or ends with a line's end."""
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
