"""Emulated boards: made, booted, stopped, by name."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct, structs

from edgedeploy.device.emulator import qemu
from edgedeploy.device.emulator.disk import copy_disk, mend_disk, refuse_small_disk
from edgedeploy.device.emulator.image import image_folder
from edgedeploy.device.emulator.initramfs import board_archive
from edgedeploy.device.emulator.keys import new_key_pair
from edgedeploy.device.emulator.login import BoardAccess, wait_for_login
from edgedeploy.device.emulator.state import BoardState, board_folder, boards_folder, read_state, write_state
from edgedeploy.device.emulator.userland import USER
from edgedeploy.foundation.errors import BoardError, DeviceError, EdgedeployError, UnknownNameError, UnsupportedError
from edgedeploy.foundation.files import unwritable, write_bytes
from edgedeploy.foundation.locks import exclusive
from edgedeploy.foundation.programs import need
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.targets.load import load_target, target_names
from edgedeploy.values.target import Emulation, Target

DEFAULT_BOARD = "rpi4"
DEFAULT_DISK_MB = 2048
"""MiB. The file is sparse; the system takes 150 MiB, a release with its runtime about as much."""
BOOT_TIMEOUT_S = 180.0
"""A boot takes 3 s on a machine that is idle; one that is busy, or emulates an emulator, may need far longer."""
_ANSWER_TIMEOUT_S = 30.0
_POWER_OFF_TIMEOUT_S = 20.0
_LAST_LINES = 30  # a kernel that panics prints its reason and then some twenty lines
_FILES = ("disk.ext4", "host_key", "host_key.pub", "id_ed25519", "id_ed25519.pub")
# What rootfs/start writes on the console. Knocking before that would only be retried slowly by QEMU's network.
_NETWORK_IS_UP = b"edgedeploy: the network is up"

Condition = Literal["absent", "down", "booting", "up", "crashed", "broken"]


class BoardStatus(Struct, frozen=True, kw_only=True):
    """A board as it is now."""

    name: str
    address: str
    """What `--to` and the other commands take: `board:NAME`."""
    target: str
    counting: bool
    """Whether its clock counts instructions: one nanosecond each."""
    minimal: bool
    """Whether its system is busybox and sshd, without Python."""
    state: Condition
    """`absent`: never made. `crashed`: its QEMU ended by itself or was killed. `broken`: files are missing or damaged.
    The next `up` makes or mends it, whichever it is."""
    port: int | None
    """Of its SSH, on 127.0.0.1."""
    pid: int | None
    """Of its QEMU."""
    boot_s: float | None
    """Seconds from the start of QEMU to the first SSH login, at the last boot."""
    disk_mb: int | None
    image: str | None
    """Name of the image that it was made from."""
    folder: str


class BoardStop(Struct, frozen=True, kw_only=True):
    """What `board_down` did."""

    name: str
    address: str
    was_on: bool
    orderly: bool
    """False when it did not shut itself down in time, so that its power was cut."""
    deleted: bool


def board_up(
    name: str = DEFAULT_BOARD,
    *,
    target: str | None = None,
    counting: bool | None = None,
    minimal: bool | None = None,
    disk_mb: int | None = None,
    rebuild: bool = False,
    timeout_s: float = BOOT_TIMEOUT_S,
    progress: Progress = SILENT,
) -> BoardStatus:
    """Make sure that a board is up, and return when it has been logged in to.

    What is missing is made, what crashed is mended and started again with the disk as it was; a board that is up is
    left alone. When what boards are made from has changed, a board that is not up gets a new disk.

    Args:
        name: of the board; also of its target, unless `target` is given or the board exists.
        counting: make a board whose clock counts instructions, one nanosecond each. It has a single core, and is
            several times slower. Default: as the board is; a new one does not.
        minimal: make a board whose system is busybox and sshd, without Python. Default: as the board is; a new one has
            a Debian system with Python.
        disk_mb: size of the disk of a board that is made now, in MiB. Default: `DEFAULT_DISK_MB`.
        rebuild: make the image and the board anew, from the packages of today. Releases on the board are lost.
        timeout_s: for the boot alone.

    Raises:
        HostError: a tool is missing, packages cannot be fetched, or there is no room.
        UnknownNameError: no target has that name.
        UnsupportedError: the target has no emulated board, or the board exists with another target, clock, system
            or disk size.
        BoardError: it does not boot; the message has the end of its console.
        BusyError: another edgedeploy has been at work on it for too long.
    """
    folder = board_folder(name)
    with exclusive(folder, f"at work on board {name}", progress):
        state = read_state(folder)
        chosen = load_target(target or (state.target if state else _target_named(name)))
        if chosen.emulation is None:
            raise UnsupportedError(
                f"target {chosen.name} has no emulated board",
                why="its file has no [emulation] table",
                hint="edgedeploy targets shows which have one; `local:` is a device for x86-64, and for an rpi-zero "
                "bundles of the backend native run on an emulated rpi2 as well",
            )
        need(qemu.program(chosen, chosen.emulation), "mke2fs", "e2fsck", "resize2fs", "cp")
        if state and not rebuild:
            _refuse_changes(name, state, chosen, counting, minimal, disk_mb)
        if qemu.is_on(folder):
            if state and not rebuild and _is_whole(folder) and _answers(folder, state):
                write_state(folder, structs.replace(state, phase="up"))
                return board_status(name)
            progress.note("it runs, but is damaged, does not answer or is to be rebuilt: its power is cut")
            qemu.cut_power(folder)
        if minimal is None:
            minimal = state is not None and state.minimal
        image = image_folder(chosen.emulation, progress, minimal=minimal, rebuild=rebuild)
        if state is None or state.image != image.name or not _is_whole(folder) or rebuild:
            if (folder / "disk.ext4").exists():
                progress.note(f"making board {name} anew: what was on its disk is gone")
            state = BoardState(
                target=chosen.name,
                image=image.name,
                disk_mb=disk_mb or (state.disk_mb if state else DEFAULT_DISK_MB),
                port=state.port if state else None,
                counting=counting if counting is not None else state is not None and state.counting,
                minimal=minimal,
            )
            progress.step(f"making board {name}")
            refuse_small_disk(image / "disk.ext4", state.disk_mb)
            _make(folder, image, state)
        elif mend_disk(folder / "disk.ext4"):
            progress.note("the disk was mended")
        _boot(name, folder, image, chosen, chosen.emulation, state, timeout_s, progress)
        return board_status(name)


def board_down(name: str = DEFAULT_BOARD, *, delete: bool = False, progress: Progress = SILENT) -> BoardStop:
    """Shut a board down in an orderly way, by force after 20 s. A board that is not up is no error.

    Args:
        delete: remove the board's disk and keys too.

    Raises:
        UnknownNameError: there is no such board.
        BusyError: another edgedeploy has been at work on it for too long, or it runs out of our reach.
    """
    folder = _known(name)
    with exclusive(folder, f"at work on board {name}", progress):
        was_on = qemu.is_on(folder)
        orderly = True
        if was_on:
            progress.step(f"shutting down {name}")
            orderly = qemu.power_off(folder, _POWER_OFF_TIMEOUT_S) or not qemu.cut_power(folder)
        if state := read_state(folder):
            write_state(folder, structs.replace(state, phase="off"))
        if delete:
            shutil.rmtree(folder, ignore_errors=True)
    return BoardStop(name=name, address=f"board:{name}", was_on=was_on, orderly=orderly, deleted=delete)


def board_kill(name: str = DEFAULT_BOARD) -> bool:
    """Cut a board's power: QEMU ends at once, what the board has not written out is lost.

    Returns:
        Whether it was on.

    Raises:
        UnknownNameError: there is no such board.
        BusyError: it runs out of our reach.
    """
    return qemu.cut_power(_known(name))


def board_status(name: str = DEFAULT_BOARD) -> BoardStatus:
    """A board as it is now.

    Raises:
        UnknownNameError: there is no such board.
    """
    folder = _known(name)
    state = read_state(folder)
    on = qemu.is_on(folder)
    return BoardStatus(
        name=name,
        address=f"board:{name}",
        target=state.target if state else name if name in target_names() else "",
        counting=state is not None and state.counting,
        minimal=state is not None and state.minimal,
        state=_condition(folder, state, on),
        port=state.port if state and on else None,
        pid=qemu.process_id(folder) if on else None,
        boot_s=state.boot_s if state else None,
        disk_mb=state.disk_mb if state else None,
        image=state.image if state else None,
        folder=str(folder),
    )


def board_list() -> tuple[BoardStatus, ...]:
    """All boards that were made, by name."""
    return tuple(board_status(name) for name in _made())


def board_access(name: str = DEFAULT_BOARD) -> BoardAccess:
    """The way into a board that is up.

    Raises:
        UnknownNameError: there is no such board.
        DeviceError: it is not up.
    """
    folder = _known(name)
    state = read_state(folder)
    condition = _condition(folder, state, qemu.is_on(folder))
    if condition != "up" or state is None:
        raise DeviceError(f"board {name} is not up", why=f"it is {condition}", hint=f"edgedeploy board up {name}")
    return _access(folder, state)


@contextlib.contextmanager
def emulated_board(
    name: str = DEFAULT_BOARD,
    *,
    target: str | None = None,
    counting: bool | None = None,
    minimal: bool | None = None,
    disk_mb: int | None = None,
    delete: bool = False,
    progress: Progress = SILENT,
) -> Iterator[BoardStatus]:
    """A board that is up for the length of a `with` block. One that was up before stays up after it.

    Args:
        delete: remove the board afterwards, if it was not up before.
    """
    with contextlib.suppress(UnknownNameError):
        if board_status(name).state == "up":
            yield board_up(name, target=target, counting=counting, minimal=minimal, disk_mb=disk_mb, progress=progress)
            return
    try:
        yield board_up(name, target=target, counting=counting, minimal=minimal, disk_mb=disk_mb, progress=progress)
    finally:
        with contextlib.suppress(UnknownNameError):
            board_down(name, delete=delete, progress=progress)


def _target_named(name: str) -> str:
    if name in target_names():
        return name
    raise UnknownNameError(
        f"there is no board {name!r} yet, and no target of that name",
        hint=f"edgedeploy board up {name} --target {DEFAULT_BOARD}",
    )


def _made() -> list[str]:
    return sorted(path.name for path in boards_folder().glob("[a-z0-9]*") if path.is_dir())


def _known(name: str) -> Path:
    """The folder of a board that was made or, as its name is a target's, could be."""
    folder = board_folder(name)
    if not folder.is_dir() and name not in target_names():
        raise UnknownNameError(
            f"there is no board {name!r}",
            why=f"boards: {', '.join(_made()) or 'none yet'}",
            hint=f"edgedeploy board up {name} --target {DEFAULT_BOARD}",
        )
    return folder


def _refuse_changes(
    name: str,
    state: BoardState,
    target: Target,
    counting: bool | None,
    minimal: bool | None,
    disk_mb: int | None,
) -> None:
    clocks = {None: None, True: "counts instructions", False: "tells time"}
    systems = {None: None, True: "minimal", False: "whole"}
    for what, has, wanted in (
        ("target", state.target, target.name),
        ("clock", clocks[state.counting], clocks[counting]),
        ("system", systems[state.minimal], systems[minimal]),
        ("disk in MiB", state.disk_mb, disk_mb),
    ):
        if wanted is not None and wanted != has:
            raise UnsupportedError(
                f"board {name} exists with another {what}: {has}, not {wanted}",
                hint=f"edgedeploy board down {name} --delete, or give the new board another name",
            )


def _condition(folder: Path, state: BoardState | None, on: bool) -> Condition:
    if not folder.is_dir():
        return "absent"
    if state is None or not _is_whole(folder):
        return "broken"
    if on:
        return "up" if state.phase == "up" else "booting"
    return "down" if state.phase == "off" else "crashed"


def _is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _FILES)


def _make(folder: Path, image: Path, state: BoardState) -> None:
    """Make the board's files. The state is written last: without it, the next `up` begins again."""
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


def _boot(
    name: str,
    folder: Path,
    image: Path,
    target: Target,
    emulation: Emulation,
    state: BoardState,
    timeout_s: float,
    progress: Progress,
) -> None:
    progress.step(f"booting {name}")
    begun = time.monotonic()
    try:
        _write_initramfs(name, folder, image)
        state = structs.replace(state, phase="booting")
        write_state(folder, state)
        port = qemu.start(target, emulation, folder, kernel=image / "kernel", port=state.port, counting=state.counting)
        state = structs.replace(state, port=port)
        write_state(folder, state)
        host_key = (folder / "host_key.pub").read_text().strip()
        write_bytes(folder / "known_hosts", f"[127.0.0.1]:{port} {host_key}\n".encode())
        _wait_until_up(name, folder, state, begun + timeout_s)
        state = structs.replace(state, phase="up", boot_s=round(time.monotonic() - begun, 2))
        write_state(folder, state)
    except BaseException:
        qemu.cut_power(folder)
        with contextlib.suppress(EdgedeployError):
            write_state(folder, structs.replace(state, phase="off"))
        raise
    progress.note(f"logged in {state.boot_s} s after power on")


def _write_initramfs(name: str, folder: Path, image: Path) -> None:
    try:
        own = board_archive(
            host_key=(folder / "host_key").read_bytes(),
            authorized_key=(folder / "id_ed25519.pub").read_text().strip(),
            hostname=re.sub("[._]", "-", name).strip("-"),
        )
        _write_secret(folder / "initramfs", (image / "initramfs").read_bytes() + own)
    except OSError as error:
        raise unwritable(folder, error) from error


def _write_secret(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content)


def _wait_until_up(name: str, folder: Path, state: BoardState, deadline: float) -> None:
    def still_on() -> bool:
        return qemu.is_on(folder)

    console = folder / qemu.CONSOLE_LOG
    while still_on() and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if _NETWORK_IS_UP in console.read_bytes():
                break
        time.sleep(0.05)
    if wait_for_login(_access(folder, state), still_on, deadline):
        return
    what = "does not let us log in" if still_on() else "ended while it booted"
    raise BoardError(
        f"board {name} {what}",
        why=_last_words(folder),
        hint=f"edgedeploy board up {name}; if that fails again, edgedeploy board down {name} --delete first",
    )


def _answers(folder: Path, state: BoardState) -> bool:
    return state.port is not None and wait_for_login(
        _access(folder, state), lambda: qemu.is_on(folder), time.monotonic() + _ANSWER_TIMEOUT_S
    )


def _access(folder: Path, state: BoardState) -> BoardAccess:
    assert state.port is not None
    return BoardAccess(
        host="127.0.0.1",
        port=state.port,
        user=USER,
        key_path=folder / "id_ed25519",
        known_hosts_path=folder / "known_hosts",
        counting=state.counting,
    )


def _last_words(folder: Path) -> str:
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = [line for line in (folder / qemu.CONSOLE_LOG).read_text(errors="replace").splitlines() if line.strip()]
    return "\n    ".join(("its console ends with:", *lines[-_LAST_LINES:])) if lines else "its console is empty"
