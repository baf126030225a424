"""Make, boot and stop emulated boards, by name."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct, structs

from edgedeploy.device.emulator import qemu
from edgedeploy.device.emulator.boot import access_to, answers, boot
from edgedeploy.device.emulator.borrowed import abandoned, borrowed
from edgedeploy.device.emulator.disk import refuse_small_disk, repair_disk
from edgedeploy.device.emulator.files import is_whole, make_files
from edgedeploy.device.emulator.image import image_folder
from edgedeploy.device.emulator.login import BoardAccess
from edgedeploy.device.emulator.request import BoardRequest
from edgedeploy.device.emulator.state import BoardState, board_folder, board_names, read_state, write_state
from edgedeploy.device.emulator.systems import default_system, emulation_with, release_of
from edgedeploy.foundation.errors import DeviceError, EdgedeployError, UnknownNameError
from edgedeploy.foundation.forced_end import at_forced_end
from edgedeploy.foundation.locks import exclusive
from edgedeploy.foundation.programs import need
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.targets.load import found_target, load_target, target_names

DEFAULT_BOARD = "rpi4"
BOOT_TIMEOUT_S = 180.0
"""A boot takes 3 s on a machine that is idle; one that is busy, or emulates an emulator, may need far longer."""
_POWER_OFF_TIMEOUT_S = 20.0

Condition = Literal["absent", "down", "booting", "up", "crashed", "broken"]


class BoardStatus(Struct, frozen=True, kw_only=True):
    """A board as it is now."""

    name: str
    address: str
    """What `--to` and the other commands take: `board:NAME`."""
    target: str
    os: str
    """Code name of its release, e.g. `"trixie"`; of a board that was never made, the one that it would get."""
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
    kvm: bool
    """Whether its programs run on this machine's own cores, which need not be the target's; else they are emulated."""
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
    os: str | None = None,
    counting: bool | None = None,
    minimal: bool | None = None,
    disk_mb: int | None = None,
    rebuild: bool = False,
    timeout_s: float = BOOT_TIMEOUT_S,
    progress: Progress = SILENT,
) -> BoardStatus:
    """Make sure that a board is up, and return when it has been logged in to.

    What is missing is made, what crashed is repaired and started again with the disk as it was; a board that is up is
    left alone. When what boards are made from has changed, a board that is not up gets a new disk.

    Args:
        name: of the board; also of its target, unless `target` is given or the board exists.
        target: its name; `NAME:RELEASE` says the release too, as `load_target` takes it.
        os: code name of the release that a new board gets: one of the target's systems, e.g. `"trixie"`. Default: as
            the board is; a new one gets this machine's own where the target names it, else what its `[emulation]` says.
        counting: make a board whose clock counts instructions, one nanosecond each. It has a single core, and is
            several times slower. Default: as the board is; a new one does not.
        minimal: make a board whose system is busybox and sshd, without Python. Default: as the board is; a new one has
            a Debian system with Python.
        disk_mb: size of the disk of a board that is made now, in MiB. Default: `request.DEFAULT_DISK_MB`.
        rebuild: make the image and the board anew, from the packages of today. Releases on the board are lost.
        timeout_s: for the boot alone.

    Raises:
        HostError: a tool is missing, packages cannot be fetched, or there is no room.
        UnknownNameError: no target has that name, or it has no such release.
        UnsupportedError: the target has no emulated board, or the board exists with another target, release, clock,
            system or disk size.
        BoardError: it does not boot; the message has the end of its console.
        BusyError: another edgedeploy has been at work on it for too long.
    """
    folder = board_folder(name)
    for left in abandoned():
        with contextlib.suppress(UnknownNameError):
            board_down(left, progress=progress)
    target, _, named = (target or "").partition(":")
    request = BoardRequest(os=os or named or None, counting=counting, minimal=minimal, disk_mb=disk_mb, rebuild=rebuild)
    with exclusive(folder, f"at work on board {name}", progress):
        state = read_state(folder)
        chosen = load_target(target or (state.target if state else _target_named(name)))
        if state:
            state = structs.replace(state, os=release_of(state, chosen))
        wanted = request.state_of(state, chosen)
        emulation = emulation_with(chosen, wanted.os)
        need(qemu.program(chosen, emulation), "mke2fs", "e2fsck", "resize2fs", "cp")
        if state and not rebuild:
            request.refuse_changes(name, state, chosen)
        if qemu.is_on(folder):
            if state and not rebuild and is_whole(folder) and answers(folder, state):
                write_state(folder, structs.replace(state, phase="up"))
                return board_status(name)
            progress.note("it runs, but is damaged, does not answer or is to be rebuilt: its power is cut")
            qemu.cut_power(folder)
        image = image_folder(emulation, progress, minimal=wanted.minimal, rebuild=rebuild)
        state = _prepare(name, folder, image, None if rebuild else state, wanted, progress)
        boot(name, folder, image, chosen, emulation, state, timeout_s, progress)
        return board_status(name)


def _prepare(
    name: str, folder: Path, image: Path, state: BoardState | None, wanted: BoardState, progress: Progress
) -> BoardState:
    """Make the board's files, or repair the disk of a board that has them.

    Args:
        state: of the board as it is; None when it is to be made in any case.
        wanted: the state of a board that is made now, but for its image.
    """
    if state is not None and state.image == image.name and is_whole(folder):
        if repair_disk(folder / "disk.ext4"):
            progress.note("its file system was repaired")
        return state
    if (folder / "disk.ext4").exists():
        progress.note(f"making board {name} anew: what was on its disk is gone")
    progress.step(f"making board {name}")
    wanted = structs.replace(wanted, image=image.name)
    refuse_small_disk(image / "disk.ext4", wanted.disk_mb)
    make_files(folder, image, wanted)
    return wanted


def board_down(name: str = DEFAULT_BOARD, *, delete: bool = False, progress: Progress = SILENT) -> BoardStop:
    """Shut a board down in an orderly way, by force after 20 s. A board that is not up is no error.

    Args:
        delete: remove the board's disk and keys too.

    Raises:
        UnknownNameError: there is no such board.
        BusyError: another edgedeploy has been at work on it for too long, or it runs out of our reach.
    """
    folder = _known(name)
    for left in abandoned():
        with contextlib.suppress(EdgedeployError):
            board_kill(left)
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
    """Look at a board as it is now.

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
        os=_release(name, state),
        counting=state is not None and state.counting,
        minimal=state is not None and state.minimal,
        state=_condition(folder, state, on),
        port=state.port if state and on else None,
        pid=qemu.process_id(folder) if on else None,
        boot_s=state.boot_s if state else None,
        kvm=state is not None and state.kvm and on,
        disk_mb=state.disk_mb if state else None,
        image=state.image if state else None,
        folder=str(folder),
    )


def board_list() -> tuple[BoardStatus, ...]:
    """List all boards that were made, by name."""
    return tuple(board_status(name) for name in board_names())


def board_access(name: str = DEFAULT_BOARD) -> BoardAccess:
    """Return the way into a board that is up.

    Raises:
        UnknownNameError: there is no such board.
        DeviceError: it is not up.
    """
    folder = _known(name)
    state = read_state(folder)
    condition = _condition(folder, state, qemu.is_on(folder))
    if condition != "up" or state is None:
        raise DeviceError(f"board {name} is not up", why=f"it is {condition}", hint=f"edgedeploy board up {name}")
    return access_to(folder, state)


@contextlib.contextmanager
def emulated_board(
    name: str = DEFAULT_BOARD,
    *,
    target: str | None = None,
    os: str | None = None,
    counting: bool | None = None,
    minimal: bool | None = None,
    disk_mb: int | None = None,
    delete: bool = False,
    progress: Progress = SILENT,
) -> Iterator[BoardStatus]:
    """Keep a board up for the length of a `with` block. One that was up before stays up after it.

    Where this process is killed, the next `board_up`, of whatever board, shuts it down.

    Args:
        delete: remove the board afterwards, if it was not up before.
    """
    up = functools.partial(
        board_up, name, target=target, os=os, counting=counting, minimal=minimal, disk_mb=disk_mb, progress=progress
    )
    with contextlib.suppress(UnknownNameError):
        if board_status(name).state == "up":
            yield up()
            return
    with borrowed(name), at_forced_end(lambda _: board_kill(name)):
        try:
            yield up()
        except BaseException as error:
            # Whoever stops a command does not wait for a board to shut down, and may kill what does not end. Its disk
            # is repaired when it is next up.
            if not isinstance(error, Exception):
                with contextlib.suppress(EdgedeployError):
                    board_kill(name)
            raise
        finally:
            with contextlib.suppress(UnknownNameError):
                board_down(name, delete=delete, progress=progress)


def _target_named(name: str) -> str:
    if name in target_names():
        return name
    raise UnknownNameError(
        f"there is no board {name!r} yet, and no target of that name",
        hint=did_you_mean(
            name, (*target_names(), *board_names()), f"edgedeploy board up {name} --target {DEFAULT_BOARD}"
        ),
    )


def _known(name: str) -> Path:
    """Find the folder of a board that was made or, as its name is a target's, could be."""
    folder = board_folder(name)
    if not folder.is_dir() and name not in target_names():
        raise UnknownNameError(
            f"there is no board {name!r}",
            why=f"boards: {', '.join(board_names()) or 'none yet'}",
            hint=did_you_mean(
                name, (*board_names(), *target_names()), f"edgedeploy board up {name} --target {DEFAULT_BOARD}"
            ),
        )
    return folder


def _release(name: str, state: BoardState | None) -> str:
    """Return a board's release; of one that was never made, the one that it would get."""
    target = found_target(state.target if state else name)
    if state is None and target and target.emulation:
        return default_system(target)
    return release_of(state, target) if state else ""


def _condition(folder: Path, state: BoardState | None, on: bool) -> Condition:
    if not folder.is_dir():
        return "absent"
    if state is None or not is_whole(folder):
        return "broken"
    if on:
        return "up" if state.phase == "up" else "booting"
    return "down" if state.phase == "off" else "crashed"
