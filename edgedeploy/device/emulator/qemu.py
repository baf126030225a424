"""The QEMU process of a board.

Whether a board is on is told by a lock (`flock`) on a file in its folder, which QEMU inherits and holds until it ends:
no process ID is ever trusted on its own, and nothing is left to clean up after a crash.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from edgedeploy.foundation.errors import BoardError, BusyError, UnsupportedError
from edgedeploy.foundation.files import unwritable
from edgedeploy.foundation.programs import completed, find, last_lines
from edgedeploy.foundation.reading import STATE, SYSTEM_TEXT, read_file, read_text
from edgedeploy.values.target import Emulation, Target

CONSOLE_LOG = "console.log"
_PROGRAMS = {"arm64": "qemu-system-aarch64", "armhf": "qemu-system-arm"}
"""By Debian's name of the kernel's architecture."""
_START_TIMEOUT_S = 60.0
KILL_TIMEOUT_S = 10.0
_ATTEMPTS = 5
_VERSION = re.compile(r"QEMU emulator version (\d+(?:\.\d+){1,3})")
_PORT_IS_TAKEN = "host forwarding"
"""QEMU's message where it cannot listen on the port that the board's SSH is forwarded from."""


# The kernel's tests of its own cryptography take more instructions than the rest of its boot: two thirds of 0.86
# billion on arm64, three quarters of 1.48 billion on armhf.
_KERNEL_WORDS = "console=ttyAMA0 quiet panic=-1 mitigations=off cryptomgr.notests"


def program(target: Target, emulation: Emulation) -> str:
    """Name the emulator of the kernel's architecture, e.g. `"qemu-system-aarch64"`.

    Raises:
        UnsupportedError: boards of that architecture are not emulated.
    """
    architecture = emulation.kernel_architecture or emulation.debian_architecture
    if architecture not in _PROGRAMS:
        raise UnsupportedError(
            f"boards of target {target.name} cannot be emulated",
            why=f"its kernel's architecture is {architecture}; emulated are {', '.join(_PROGRAMS)}",
        )
    return _PROGRAMS[architecture]


def command_line(
    emulator: str,
    emulation: Emulation,
    folder: Path,
    *,
    kernel: Path,
    port: int,
    console: int,
    counting: bool = False,
    kvm: bool = False,
) -> list[str]:
    """Make the command line that starts a board.

    The board sees one disk, one network card behind QEMU's user network with nothing outside (`restrict`), and a source
    of randomness; from the host, its SSH port is on the loopback address only. Devices sit on virtio's memory-mapped
    bus, which needs no PCI scan at boot.

    Args:
        folder: of the board, with its `disk.ext4` and `initramfs`.
        port: on the loopback address, which leads to the board's port 22.
        console: the number of the inherited socket that listens for whoever wants to talk to the serial console.
        counting: the board's clock goes on by one nanosecond with each instruction, and it has one core: with more,
            whose instructions they are would depend on this machine
            (https://www.qemu.org/docs/master/devel/tcg-icount.html).
        kvm: its programs run on this machine's own cores, whatever core the target has. The interrupt controller must
            then be of this machine's kind (https://www.qemu.org/docs/master/system/arm/virt.html, gic-version).
    """
    machine, core = emulation.machine, emulation.cpu
    if counting:
        # While the board waits, its clock goes with this machine's: if it leapt to the next timer (sleep=off), whatever
        # the board awaits from outside would always be too late.
        execution = ["-smp", "1", "-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on"]
    elif kvm:
        machine, core = f"{machine},gic-version=host", "host"
        execution = ["-smp", str(emulation.cores), "-accel", "kvm"]
    else:
        execution = ["-smp", str(emulation.cores), "-accel", "tcg,thread=multi"]
    return [
        emulator,
        *("-machine", machine),
        *("-cpu", core),
        *("-m", str(emulation.memory_mb)),
        *execution,
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-daemonize"),
        *("-pidfile", str(folder / "qemu.pid")),
        *("-chardev", f"socket,id=console,fd={console},server=on,wait=off,logfile={_escaped(folder / CONSOLE_LOG)}"),
        *("-serial", "chardev:console"),
        *("-kernel", str(kernel)),
        *("-initrd", str(folder / "initramfs")),
        # Where a program's memory lies decides how its copies and loops are cut: it is to be the same in each process.
        *("-append", " ".join((_KERNEL_WORDS, *(["norandmaps"] if counting else [])))),
        # When this machine's disk is full, the board is told so; QEMU would otherwise stop it without a word.
        *("-drive", f"if=none,id=disk,format=raw,werror=report,file={_escaped(folder / 'disk.ext4')}"),
        *("-device", "virtio-blk-device,drive=disk"),
        *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", "virtio-net-device,netdev=net"),
        *("-device", "virtio-rng-device"),
    ]


def start(
    target: Target,
    emulation: Emulation,
    folder: Path,
    *,
    kernel: Path,
    port: int | None = None,
    counting: bool = False,
    kvm: bool = False,
) -> int:
    """Start a board; return the loopback port that its SSH has.

    QEMU goes into the background in a session of its own: it goes on when edgedeploy ends, and a Ctrl-C in the terminal
    is not meant for it.

    Args:
        port: taken if it is free.
        counting: as `command_line` has it.
        kvm: as `command_line` has it.

    Raises:
        HostError: QEMU is not installed.
        BusyError: the board is on.
        BoardError: QEMU does not start; the message has its own words.
    """
    emulator = find(program(target, emulation))
    try:
        (folder / CONSOLE_LOG).unlink(missing_ok=True)
        with _power_lock(folder) as lock, _console_socket(folder) as console:
            for _ in range(_ATTEMPTS):
                taken = _free_port(port)
                line = command_line(
                    emulator,
                    emulation,
                    folder,
                    kernel=kernel,
                    port=taken,
                    console=console.fileno(),
                    counting=counting,
                    kvm=kvm,
                )
                result = _launch(line, lock, console.fileno())
                if result.returncode == 0:
                    return taken
                # Somebody took the port between our look and QEMU's: take another.
                if _PORT_IS_TAKEN not in result.stderr:
                    break
            raise BoardError("QEMU does not start", why=last_lines(result.stderr))
    except subprocess.TimeoutExpired as error:
        raise BoardError("QEMU does not start", why=f"it says nothing for {_START_TIMEOUT_S:.0f} s") from error
    except OSError as error:
        raise unwritable(folder, error) from error


def _launch(line: list[str], *handles: int) -> subprocess.CompletedProcess[str]:
    """Run QEMU until it has gone into the background, with open files of ours."""
    return subprocess.run(
        line,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        start_new_session=True,
        pass_fds=handles,
        timeout=_START_TIMEOUT_S,
        check=False,
    )


def version(emulator: str) -> str | None:
    """Return the version of an installed emulator as measurements name it, e.g. `"QEMU 7.2.22"`.

    Args:
        emulator: as `program` names it.

    Returns:
        None where it does not say.

    Raises:
        HostError: it is not installed.
    """
    try:
        result = completed([find(emulator), "--version"], timeout_s=_START_TIMEOUT_S)
    except OSError:
        return None
    found = _VERSION.search(result.stdout)
    return f"QEMU {found[1]}" if found else None


def is_on(folder: Path) -> bool:
    """Tell whether the board in `folder` is running, started by whatever process."""
    try:
        with (folder / "power.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def process_id(folder: Path) -> int | None:
    """Find the process ID of the board's QEMU, if this process can see it."""
    candidates: list[str] = []
    with contextlib.suppress(OSError):
        candidates.append(read_text(folder / "qemu.pid", STATE).strip())
    candidates += (entry.name for entry in Path("/proc").iterdir())
    return next((int(name) for name in candidates if name.isdecimal() and _is_ours(int(name), folder)), None)


def power_off(folder: Path, timeout_s: float) -> bool:
    """Press the power button: the board ends its programs, writes everything out and switches itself off.

    Returns:
        Whether it did within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    with contextlib.suppress(OSError), _short_path(folder) as place, socket.socket(socket.AF_UNIX) as console:
        console.settimeout(timeout_s)
        console.connect(f"{place}/console.sock")
        console.sendall(b"poweroff\n")
        # Its last words must be taken from it, or QEMU waits for us; the end of them is QEMU's end.
        while time.monotonic() < deadline and console.recv(4096):
            pass
    return _wait_for_end(folder, deadline)


def cut_power(folder: Path, *, timeout_s: float = KILL_TIMEOUT_S) -> bool:
    """End QEMU at once: what a power cut is to a board.

    Args:
        timeout_s: for the process to be gone, in seconds.

    Returns:
        Whether it was on.

    Raises:
        BusyError: its process belongs to somebody else: another user, or another container with the same cache folder.
    """
    if not is_on(folder):
        return False
    deadline = time.monotonic() + timeout_s
    why = "its process is not to be seen from here"
    # More than one process may have to go: while QEMU starts, there is the one that goes into the background too.
    while is_on(folder):
        if time.monotonic() >= deadline:
            raise BusyError(
                f"the board in {folder} runs and cannot be ended", why=why, hint="end it as whoever started it"
            )
        pid = process_id(folder)
        if pid is not None:
            try:
                _kill(pid, folder)
            except PermissionError as error:
                why = f"process {pid}: {error.strerror}"
        _wait_for_end(folder, time.monotonic() + 0.2)
    return True


def _kill(pid: int, folder: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            # The handle is of one process: if it is ours now, the signal cannot reach another.
            if _is_ours(pid, folder):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _wait_for_end(folder: Path, deadline: float) -> bool:
    while is_on(folder):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def _is_ours(pid: int, folder: Path) -> bool:
    try:
        words = read_file(Path(f"/proc/{pid}/cmdline"), SYSTEM_TEXT).split(b"\0")
    except OSError:
        return False
    return os.fsencode(folder / "qemu.pid") in words


@contextlib.contextmanager
def _power_lock(folder: Path) -> Iterator[int]:
    with (folder / "power.lock").open("w") as file:
        deadline = time.monotonic() + 1.0  # whoever looks whether the board is on holds it for an instant
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise BusyError(f"the board in {folder} is on already") from error
            time.sleep(0.02)
        yield file.fileno()


@contextlib.contextmanager
def _console_socket(folder: Path) -> Iterator[socket.socket]:
    (folder / "console.sock").unlink(missing_ok=True)
    with _short_path(folder) as place, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{place}/console.sock")
        listener.listen(1)
        yield listener


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """Give a folder a short name: the address of a Unix socket has room for 107 bytes, a cache folder may be longer."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _free_port(wanted: int | None) -> int:
    for port in (wanted or 0, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            # As QEMU does: else a port on which connections have just ended would not do.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            free: int = probe.getsockname()[1]
            return free
    raise BoardError("this machine has no free port on 127.0.0.1")


def _escaped(path: Path) -> str:
    # A comma separates the options of one QEMU argument; two stand for one.
    return str(path).replace(",", ",,")
