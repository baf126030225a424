"""Take the image of a board to other machines, which then need no packages and no network for it."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from msgspec import Struct

from edgedeploy.device.emulator.image import (
    IMPORTED,
    image_digest,
    image_folder,
    named_folder,
    one_build_at_a_time,
)
from edgedeploy.device.emulator.image_file import ImageHeader, read_image_file, read_image_header, write_image_file
from edgedeploy.device.emulator.state import board_folder, board_names, read_state
from edgedeploy.device.emulator.systems import board_systems, default_system, emulation_with, release_of
from edgedeploy.foundation.errors import InvalidFileError, UnknownNameError
from edgedeploy.foundation.files import replacing_folder, sha256_file, write_bytes
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.targets.load import found_target, load_target, target_names


class BoardImage(Struct, frozen=True, kw_only=True):
    """An image in a file."""

    path: str
    sha256: str
    """Of the file."""
    size_bytes: int
    image: str
    """Its name in the cache."""
    os: str
    """Code name of its release."""
    architecture: str
    """Debian's name of that of its programs."""
    minimal: bool
    targets: tuple[str, ...]
    """Whose boards are made from it."""


def board_export(
    name: str, path: Path, *, os: str | None = None, minimal: bool | None = None, progress: Progress = SILENT
) -> BoardImage:
    """Write the image that a board is made from to one file. It is built now if it is not there.

    What is on the board's own disk, and its keys, are not in it.

    Args:
        name: of a board that was made, or of a target, for the board that `board_up` would make.
        path: is replaced.
        os: code name of the release. Default: that of the board, or what a new one would get.
        minimal: the system without Python. Default: as the board is; False where there is none.

    Raises:
        UnknownNameError: there is no such board or target, or it has no such release.
        UnsupportedError: the target has no emulated board.
        HostError, BoardError, BusyError: as `board_up`; or the file cannot be written.
    """
    state = read_state(board_folder(name))
    if state is None and name not in target_names():
        raise UnknownNameError(
            f"there is no board {name!r}, and no target of that name",
            hint=did_you_mean(name, (*board_names(), *target_names()), "edgedeploy targets"),
        )
    target = load_target(state.target if state else name)
    minimal = (state.minimal if state else False) if minimal is None else minimal
    emulation = emulation_with(target, os or (release_of(state, target) if state else default_system(target)))
    folder = image_folder(emulation, progress, minimal=minimal)
    progress.step(f"writing {path}")
    header = write_image_file(
        folder,
        path,
        image=image_digest(emulation, minimal=minimal),
        version=importlib.metadata.version("edgedeploy"),
        os=emulation.debian_release,
        architecture=emulation.debian_architecture,
        kernel=emulation.kernel_package,
        minimal=minimal,
    )
    return _described(path, header, _users(header))


def board_import(path: Path, *, progress: Progress = SILENT) -> BoardImage:
    """Take an image from a file of `board_export`'s into the cache: boards are then made from it, without a build.

    Every byte is checked against the file's own header. That tells damage; who has made the file is for its SHA-256 to
    tell, which `board_export` returns. An imported image is never removed because of its age.

    Raises:
        InvalidFileError: the file is no image, or one that this version makes no board from.
        IntegrityError: it is damaged.
        HostError: the cache cannot be written.
        BusyError: another edgedeploy has been building for too long.
    """
    header = read_image_header(path)
    targets = _users(header)
    if not targets:
        raise InvalidFileError(
            f"no target's board is made from the image in {path}",
            why=f"edgedeploy {header.edgedeploy} has made it, for Debian {header.os} {header.architecture}; this is "
            f"{importlib.metadata.version('edgedeploy')}",
            hint="export it with this version, or install the version that has made it",
        )
    folder = named_folder(header.image)
    with one_build_at_a_time(progress):
        progress.step(f"reading {path}")
        with replacing_folder(folder) as temporary:
            if read_image_file(path, temporary) != header:
                raise InvalidFileError(f"{path} changed while it was read", hint="import it again")
            write_bytes(temporary / IMPORTED, b"")
    return _described(path, header, targets)


def _users(header: ImageHeader) -> tuple[str, ...]:
    """List the targets whose boards are made from an image."""
    found = []
    for name in target_names():
        target = found_target(name)
        if target is None or header.os not in board_systems(target):
            continue
        if image_digest(emulation_with(target, header.os), minimal=header.minimal) == header.image:
            found.append(name)
    return tuple(found)


def _described(path: Path, header: ImageHeader, targets: tuple[str, ...]) -> BoardImage:
    return BoardImage(
        path=str(path),
        sha256=sha256_file(path),
        size_bytes=path.stat().st_size,
        image=named_folder(header.image).name,
        os=header.os,
        architecture=header.architecture,
        minimal=header.minimal,
        targets=targets,
    )
