"""The files of one board, in its folder: its disk, and the keys by which it and we know each other."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from edgedeploy.device.emulator.disk import copy_disk
from edgedeploy.device.emulator.initramfs import board_archive
from edgedeploy.device.emulator.keys import new_key_pair
from edgedeploy.device.emulator.state import BoardState, write_state
from edgedeploy.foundation.files import unwritable
from edgedeploy.foundation.reading import BOARD_FILE, STATE, read_file, read_text

BOARD_FILES = ("disk.ext4", "host_key", "host_key.pub", "id_ed25519", "id_ed25519.pub")
"""Without one of these a board is broken."""


def is_whole(folder: Path) -> bool:
    """Tell whether all files of a board are there."""
    return all((folder / name).is_file() for name in BOARD_FILES)


def make_files(folder: Path, image: Path, state: BoardState) -> None:
    """Make the board's files anew. The state is written last: without it, the next `up` begins again.

    Args:
        image: the folder of the image that the disk is copied from.

    Raises:
        HostError: they cannot be written.
    """
    try:
        if folder.exists():
            shutil.rmtree(folder)
        # Private keys lie in it, and in the first file system that QEMU reads.
        folder.mkdir(parents=True, mode=0o700)
        for file in ("host_key", "id_ed25519"):
            pair = new_key_pair()
            _write_secret(folder / file, pair.private)
            (folder / f"{file}.pub").write_text(f"{pair.public}\n")
        copy_disk(image / "disk.ext4", folder / "disk.ext4", state.disk_mb)
    except OSError as error:
        raise unwritable(folder, error) from error
    write_state(folder, state)


def write_initramfs(name: str, folder: Path, image: Path) -> None:
    """Write the first file system that a board's kernel reads: the image's, with the board's own keys and name.

    Raises:
        HostError: it cannot be written.
    """
    try:
        own = board_archive(
            host_key=read_file(folder / "host_key", STATE),
            authorized_key=read_text(folder / "id_ed25519.pub", STATE).strip(),
            hostname=re.sub("[._]", "-", name).strip("-"),
        )
        _write_secret(folder / "initramfs", read_file(image / "initramfs", BOARD_FILE) + own)
    except OSError as error:
        raise unwritable(folder, error) from error


def _write_secret(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content)
