"""What is remembered of a board between commands: one JSON file in its folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from edgedeploy.foundation.errors import UnknownNameError
from edgedeploy.foundation.files import cache_folder, write_bytes
from edgedeploy.foundation.ownership import require_own_folder
from edgedeploy.foundation.reading import STATE, read_file

# It is a folder's name and, with dots and underscores taken out, a host's.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")


class BoardState(Struct, frozen=True, kw_only=True):
    target: str
    image: str
    """The image that its disk was copied from, by the name of its folder."""
    disk_mb: int
    os: str = ""
    """Code name of its release. Empty: made when boards had but the one that `[emulation]` of their target names."""
    counting: bool = False
    """Whether its clock counts instructions."""
    minimal: bool = False
    """Whether its system is busybox and sshd, without Python."""
    phase: Literal["off", "booting", "up"] = "off"
    """What we last did with it. Not `off`, and yet not running: it crashed, or we did."""
    port: int | None = None
    """Of its SSH on 127.0.0.1, at the last boot."""
    kvm: bool = False
    """Whether its programs ran on this machine's own cores, at the last boot."""
    emulator: str | None = None
    """The emulator and its version, at the last boot."""
    boot_s: float | None = None
    """Seconds from the start of QEMU to the first login, at the last boot that got so far."""


def boards_folder() -> Path:
    return require_own_folder(cache_folder() / "boards")


def board_names() -> tuple[str, ...]:
    """List the boards that were made, sorted."""
    return tuple(
        sorted(path.name for path in boards_folder().glob("*") if _NAME.fullmatch(path.name) and path.is_dir())
    )


def board_folder(name: str) -> Path:
    """Return a board's folder.

    Raises:
        UnknownNameError: it cannot be a board's name.
        HostError: it belongs to another user, or others can write it.
    """
    if not _NAME.fullmatch(name):
        raise UnknownNameError(
            f"{name!r} cannot be a board's name", hint="use lower-case letters, digits, - _ and . (at most 32)"
        )
    return require_own_folder(boards_folder() / name)


def read_state(folder: Path) -> BoardState | None:
    """Read the state in `folder`; None when there is none or it is damaged. Then the board is made anew."""
    try:
        return msgspec.json.decode(read_file(folder / "state.json", STATE), type=BoardState)
    except (OSError, msgspec.DecodeError):
        return None


def write_state(folder: Path, state: BoardState) -> None:
    write_bytes(folder / "state.json", msgspec.json.encode(state))
