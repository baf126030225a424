"""What is remembered of a board between commands: one JSON file in its folder."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from msgspec import Struct

from edgedeploy.errors import UnknownNameError
from edgedeploy.files import cache_folder, write_bytes

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")


class BoardState(Struct, frozen=True, kw_only=True):
    target: str
    image: str
    disk_mb: int
    pid: int | None = None
    """Of QEMU; None when the board was shut down in an orderly way or never started."""
    port: int | None = None
    boot_s: float | None = None
    """From the start of QEMU to the first SSH login of the last boot."""


def boards_folder() -> Path:
    return cache_folder() / "boards"


def board_folder(name: str) -> Path:
    """Where a board lives.

    Raises:
        UnknownNameError: it cannot be a board's name.
    """
    if not _NAME.fullmatch(name):
        raise UnknownNameError(
            f"{name!r} cannot be a board's name", mend="use lower-case letters, digits, - _ and . (at most 32)"
        )
    return boards_folder() / name


def read_state(folder: Path) -> BoardState | None:
    """The state in `folder`; None when there is none or it is damaged, which is mended by making the board anew."""
    try:
        return msgspec.json.decode((folder / "state.json").read_bytes(), type=BoardState)
    except (OSError, msgspec.DecodeError):
        return None


def write_state(folder: Path, state: BoardState) -> None:
    write_bytes(folder / "state.json", msgspec.json.encode(state))
