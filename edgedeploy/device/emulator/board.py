"""Emulated boards: made, booted, stopped, by name."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct, structs

from edgedeploy.device.emulator import qemu
from edgedeploy.device.emulator.image import DISK_MB, image_folder
from edgedeploy.device.emulator.initramfs import board_archive
from edgedeploy.device.emulator.keys import new_key_pair
from edgedeploy.device.emulator.locks import exclusive
from edgedeploy.device.emulator.state import BoardState, board_folder, boards_folder, read_state, write_state
from edgedeploy.device.emulator.tools import find, need
from edgedeploy.errors import BoardError, DeviceError, UnknownNameError, UnsupportedError
from edgedeploy.files import unwritable, write_bytes
from edgedeploy.progress import SILENT, Progress
from edgedeploy.target.load import load_target, target_names
from edgedeploy.values.target import Emulation, Target

USER = "edge"
_BOOT_TIMEOUT_S = 180.0
_POWER_OFF_TIMEOUT_S = 20.0
_FILES = ("kernel", "initramfs", "disk.ext4", "id_ed25519", "known_hosts")


class BoardStatus(Struct, frozen=True, kw_only=True):
    """A board as it is now."""

    name: str
    address: str
    """What `--to` and the other commands take: `board:NAME`."""
    target: str
    state: Literal["up", "down", "crashed", "broken"]
    """`crashed`: its QEMU ended by itself or was killed. `broken`: files are missing. The next `up` mends both."""
    port: int | None
    """Of its SSH, on 127.0.0.1."""
    pid: int | None
    boot_s: float | None
    """Seconds from the start of QEMU to the first SSH login, at the last boot."""
    folder: str


class BoardAccess(Struct, frozen=True, kw_only=True):
    """The way into a running board."""

    host: str
    port: int
    user: str
    key_path: Path
    known_hosts_path: Path


def board_up(
    name: str = "rpi4",
    *,
    target: str | None = None,
    disk_mb: int | None = None,
    rebuild: bool = False,
    progress: Progress = SILENT,
) -> BoardStatus:
    """Make sure that a board is up, and return when it has been logged in to.

    What is missing is made, what crashed is started again with the disk as it was; a board that is up is left alone.

    Args:
        name: of the board; also of its target, unless `target` is given or the board exists.
        disk_mb: size of the disk of a board that is made now, in MiB.
        rebuild: make the image and the board anew, from the packages of today. Releases on the board are lost.

    Raises:
        HostError: a tool is missing, or packages cannot be fetched.
        UnknownNameError: no target has that name.
        UnsupportedError: the target has no emulated board.
        BoardError: it does not boot; the message has the end of its console.
    """
    folder = board_folder(name)
    state = read_state(folder)
    chosen = load_target(target or (state.target if state else None) or _target_named(name))
    if chosen.emulation is None:
        raise UnsupportedError(f"target {chosen.name} has no emulated board", why="its file has no [emulation] table")
    need(qemu.program(chosen), "mke2fs")
    with exclusive(folder, f"working on board {name}", progress):
        state = read_state(folder)
        if state and state.pid and not rebuild and qemu.is_running(state.pid, folder):
            if target and target != state.target:
                raise BoardError(f"board {name} is up as {state.target}", mend=f"edgedeploy board down {name} --delete")
            if _answers(name, folder, state, patience_s=30.0):
                return _status(name, folder)
            progress.note("it runs but does not answer: starting it again")
        if state and state.pid:
            qemu.kill(state.pid, folder)
        image = image_folder(chosen.emulation, progress, rebuild=rebuild)
        wanted = BoardState(
            target=chosen.name, image=image.name, disk_mb=disk_mb or (state.disk_mb if state else DISK_MB)
        )
        same = state and (state.target, state.image, state.disk_mb) == (wanted.target, wanted.image, wanted.disk_mb)
        if rebuild or not same or not _is_whole(folder):
            if state:
                progress.note(f"making board {name} anew: what was on its disk is gone")
            _make(name, folder, image, wanted)
        return _boot(name, folder, chosen, chosen.emulation, wanted, progress)


def board_down(name: str, *, delete: bool = False, progress: Progress = SILENT) -> BoardStatus:
    """Shut a board down in an orderly way, by force after 20 s. A board that is down stays down.

    Args:
        delete: remove the board's disk and keys too.

    Raises:
        UnknownNameError: there is no such board.
    """
    folder = _existing(name)
    with exclusive(folder, f"working on board {name}", progress):
        state = read_state(folder)
        if state and state.pid:
            if qemu.is_running(state.pid, folder):
                progress.step(f"shutting down {name}")
                with contextlib.suppress(Exception):  # whatever keeps it from answering, it is ended below
                    _power_off(folder, state)
                    qemu.wait_for_end(state.pid, folder, _POWER_OFF_TIMEOUT_S)
                qemu.kill(state.pid, folder)
            write_state(folder, structs.replace(state, pid=None, port=None))
        status = _status(name, folder)
        if delete:
            shutil.rmtree(folder)
    return status


def board_kill(name: str) -> None:
    """Cut a board's power: QEMU ends at once, nothing is written out.

    Raises:
        UnknownNameError: there is no such board.
    """
    folder = _existing(name)
    state = read_state(folder)
    if state and state.pid:
        qemu.kill(state.pid, folder)


def board_status(name: str) -> BoardStatus:
    """A board as it is now.

    Raises:
        UnknownNameError: there is no such board.
    """
    return _status(name, _existing(name))


def board_list() -> tuple[BoardStatus, ...]:
    """All boards, by name."""
    folders = sorted(boards_folder().glob("*/state.json"))
    return tuple(_status(path.parent.name, path.parent) for path in folders)


def board_access(name: str) -> BoardAccess:
    """The way into a board that is up.

    Raises:
        UnknownNameError: there is no such board.
        DeviceError: it is not up.
    """
    folder = _existing(name)
    state = read_state(folder)
    if state is None or state.pid is None or state.port is None or not qemu.is_running(state.pid, folder):
        raise DeviceError(f"board {name} is not up", mend=f"edgedeploy board up {name}")
    return _access(folder, state.port)


@contextlib.contextmanager
def emulated_board(
    name: str = "rpi4", *, target: str | None = None, disk_mb: int | None = None, progress: Progress = SILENT
) -> Iterator[BoardStatus]:
    """A board that is up for the length of a `with` block; one that was up before stays up."""
    with contextlib.suppress(UnknownNameError):
        if board_status(name).state == "up":
            yield board_up(name, progress=progress)
            return
    try:
        yield board_up(name, target=target, disk_mb=disk_mb, progress=progress)
    finally:
        with contextlib.suppress(UnknownNameError):
            board_down(name, progress=progress)


def _target_named(name: str) -> str:
    if name in target_names():
        return name
    raise UnknownNameError(
        f"there is no board {name!r} yet, and no target of that name", mend=f"edgedeploy board up {name} --target NAME"
    )


def _existing(name: str) -> Path:
    folder = board_folder(name)
    if not folder.is_dir():
        known = ", ".join(path.parent.name for path in sorted(boards_folder().glob("*/state.json")))
        raise UnknownNameError(
            f"there is no board {name!r}", why=f"boards: {known or 'none yet'}", mend=f"edgedeploy board up {name}"
        )
    return folder


def _is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _FILES)


def _make(name: str, folder: Path, image: Path, state: BoardState) -> None:
    """Make the board's files. The state is written last: without it, the next `up` begins again."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True, mode=0o700)
        host, user = new_key_pair(), new_key_pair()
        (folder / "id_ed25519").touch(mode=0o600)
        write_bytes(folder / "id_ed25519", user.private)
        (folder / "id_ed25519").chmod(0o600)
        (folder / "host_key.pub").write_text(host.public + "\n")
        # A hard link or a reflink is as good as a copy for what is only read.
        shutil.copyfile(image / "kernel", folder / "kernel")
        initramfs = (image / "initramfs").read_bytes() + board_archive(host.private, user.public, name)
        (folder / "initramfs").touch(mode=0o600)
        (folder / "initramfs").write_bytes(initramfs)
        _copy_disk(image / "disk.ext4", folder / "disk.ext4", state.disk_mb)
        (folder / "known_hosts").write_text("")
    except OSError as error:
        raise unwritable(folder, error) from error
    write_state(folder, state)


def _copy_disk(source: Path, destination: Path, disk_mb: int) -> None:
    command = ["cp", "--sparse=always", "--reflink=auto", str(source), str(destination)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise OSError(0, result.stderr.strip())
    if disk_mb == DISK_MB:
        return
    if disk_mb > DISK_MB:
        with destination.open("r+b") as file:
            file.truncate(disk_mb << 20)
    resized = subprocess.run(
        [find("resize2fs"), "-f", str(destination), f"{disk_mb}M"], capture_output=True, text=True, check=False
    )
    if resized.returncode:
        raise BoardError(f"a disk of {disk_mb} MiB cannot be made", why=resized.stderr.strip())
    with destination.open("r+b") as file:
        file.truncate(disk_mb << 20)


def _boot(
    name: str, folder: Path, target: Target, emulation: Emulation, state: BoardState, progress: Progress
) -> BoardStatus:
    progress.step(f"booting {name}")
    begun = time.monotonic()
    pid, port = qemu.start(target, emulation, folder)
    try:
        # From here on a crash of ours leaves a board that the next command finds.
        state = structs.replace(state, pid=pid, port=port)
        write_state(folder, state)
        key = (folder / "host_key.pub").read_text().strip()
        write_bytes(folder / "known_hosts", f"[127.0.0.1]:{port} {key}\n".encode())
        if not _answers(name, folder, state, patience_s=_BOOT_TIMEOUT_S):
            raise BoardError(f"board {name} does not answer", why=_console(folder))
        state = structs.replace(state, boot_s=round(time.monotonic() - begun, 2))
        write_state(folder, state)
    except BaseException:
        qemu.kill(pid, folder)
        raise
    progress.note(f"logged in {state.boot_s} s after power on")
    return _status(name, folder)


def _answers(name: str, folder: Path, state: BoardState, *, patience_s: float) -> bool:
    """Whether the board lets us log in within `patience_s`, with the host key that we gave it."""
    assert state.pid is not None and state.port is not None
    access = _access(folder, state.port)
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and qemu.is_running(state.pid, folder):
        if _has_banner(access):
            from paramiko import SSHException

            try:
                _as_user(access, USER, "true")
                return True
            except (OSError, EOFError, SSHException):
                pass  # sshd is only just coming up
        time.sleep(0.1)
    if not qemu.is_running(state.pid, folder):
        raise BoardError(f"board {name} ended while it booted", why=_console(folder))
    return False


def _has_banner(access: BoardAccess) -> bool:
    # QEMU's user network accepts at once, whether or not anybody listens on the board: only the banner tells.
    try:
        with socket.create_connection((access.host, access.port), timeout=2.0) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _as_user(access: BoardAccess, user: str, command: str) -> None:
    import paramiko

    client = paramiko.SSHClient()
    client.load_host_keys(str(access.known_hosts_path))
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        client.connect(
            access.host,
            access.port,
            user,
            key_filename=str(access.key_path),
            allow_agent=False,
            look_for_keys=False,
            timeout=10.0,
            banner_timeout=30.0,
            auth_timeout=30.0,
        )
        channel = client.exec_command(command, timeout=30.0)[1].channel
        channel.recv_exit_status()
    finally:
        client.close()


def _power_off(folder: Path, state: BoardState) -> None:
    if state.port is not None and _has_banner(_access(folder, state.port)):
        _as_user(_access(folder, state.port), "root", "poweroff")


def _access(folder: Path, port: int) -> BoardAccess:
    return BoardAccess(
        host="127.0.0.1",
        port=port,
        user=USER,
        key_path=folder / "id_ed25519",
        known_hosts_path=folder / "known_hosts",
    )


def _console(folder: Path) -> str:
    lines: list[str] = []
    for name in ("console.log", "qemu.log"):
        with contextlib.suppress(OSError):
            lines += (folder / name).read_text(errors="replace").strip().splitlines()[-8:]
    return "its console ends with:\n    " + "\n    ".join(lines) if lines else "its console is empty"


def _status(name: str, folder: Path) -> BoardStatus:
    state = read_state(folder)
    running = state is not None and state.pid is not None and qemu.is_running(state.pid, folder)
    condition: Literal["up", "down", "crashed", "broken"]
    if running:
        condition = "up"
    elif state is None or not _is_whole(folder):
        condition = "broken"
    else:
        condition = "down" if state.pid is None else "crashed"
    return BoardStatus(
        name=name,
        address=f"board:{name}",
        target=state.target if state else "",
        state=condition,
        port=state.port if state and running else None,
        pid=state.pid if state and running else None,
        boot_s=state.boot_s if state else None,
        folder=str(folder),
    )
