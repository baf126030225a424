"""Keys of the SSH agent that the user's configuration names (`IdentityFile` with `IdentitiesOnly`)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path

import paramiko

from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.foundation.reading import KEY, read_text


def named_key(paths: Sequence[Path]) -> paramiko.AgentKey | None:
    """Return the first key that the agent has of those named, as ssh tries them; None where it has none.

    Only the public halves are compared: those of hardware are nowhere else, and an encrypted file need not be opened.

    Args:
        paths: each of a private key, with its public half beside it as `KEY.pub`, or of the public half itself.
    """
    wanted = [blob for path in paths if (blob := _public_blob(path)) is not None]
    if not wanted:
        return None
    try:
        agent = paramiko.Agent()
    except (paramiko.SSHException, OSError):
        return None
    keys = {key.asbytes(): key for key in agent.get_keys()}
    found = next((keys[blob] for blob in wanted if blob in keys), None)
    if found is None:
        agent.close()  # a key signs by way of it
    return found


def _public_blob(path: Path) -> bytes | None:
    """Return a public key as SSH sends it (RFC 4253, 6.6), from a line of OpenSSH's: kind, base64, comment."""
    for place in (path.with_name(path.name + ".pub"), path):
        try:
            words = read_text(place, KEY).split() if place.is_file() else []
            if len(words) >= 2:
                return base64.b64decode(words[1], validate=True)
        except (OSError, ValueError, binascii.Error, InvalidFileError):
            continue
    return None
