"""The QEMU process of a board."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from edgedeploy.device.emulator.tools import find
from edgedeploy.errors import BoardError
from edgedeploy.values.target import Emulation, Target

_PROGRAMS = {"aarch64": "qemu-system-aarch64", "armv7l": "qemu-system-arm"}


def program(target: Target) -> str:
    """The emulator of the target's architecture, e.g. `"qemu-system-aarch64"`."""
    return _PROGRAMS[target.architecture]


def command_line(emulator: str, emulation: Emulation, folder: Path, port: int) -> list[str]:
    """How a board is started.

    The board sees one disk, one network card behind QEMU's user network with nothing outside (`restrict`), and a source
    of randomness; from the host, its SSH port is on the loopback address only. Devices sit on virtio's memory-mapped
    bus, which needs no PCI scan at boot.
    """
    return [
        emulator,
        *("-machine", f"{emulation.machine},gic-version=2"),
        *("-cpu", emulation.cpu),
        *("-smp", str(emulation.cores)),
        *("-m", str(emulation.memory_mb)),
        *("-accel", "tcg,thread=multi"),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none"),
        *("-serial", f"file:{_escaped(folder / 'console.log')}"),
        *("-kernel", str(folder / "kernel")),
        *("-initrd", str(folder / "initramfs")),
        *("-append", "console=ttyAMA0 quiet panic=-1 mitigations=off rdinit=/init"),
        *("-drive", f"if=none,id=disk,format=raw,file={_escaped(folder / 'disk.ext4')}"),
        *("-device", "virtio-blk-device,drive=disk"),
        *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", "virtio-net-device,netdev=net"),
        *("-device", "virtio-rng-device"),
    ]


def start(target: Target, emulation: Emulation, folder: Path) -> tuple[int, int]:
    """Start a board; return its process ID and the loopback port that its SSH has.

    The process has a session of its own: it goes on when edgedeploy ends, and a Ctrl-C in the terminal is not its.

    Raises:
        HostError: QEMU is not installed.
        BoardError: QEMU ends at once; the message has its own words.
    """
    emulator = find(program(target))
    said = ""
    for _ in range(5):
        port = _free_port()
        with (folder / "qemu.log").open("wb") as log:
            process = subprocess.Popen(
                command_line(emulator, emulation, folder, port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )
        time.sleep(0.3)
        if process.poll() is None:
            return process.pid, port
        said = (folder / "qemu.log").read_text(errors="replace").strip()
        if "host forwarding" not in said:
            break
        # Somebody took the port between our look and QEMU's: take another.
    raise BoardError("QEMU does not start", why=said[-500:])


def is_running(pid: int, folder: Path) -> bool:
    """Whether `pid` is the QEMU of the board in `folder`, and not another process that got its number."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX" and os.fsencode(str(folder / "kernel")) in words


def wait_for_end(pid: int, folder: Path, timeout_s: float) -> bool:
    """Wait until the board's QEMU has ended; False when it has not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while is_running(pid, folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    _reap(pid)
    return True


def kill(pid: int, folder: Path) -> None:
    """End QEMU at once: what a power cut is to a board. Does nothing when it is not running."""
    if is_running(pid, folder):
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid, folder, 10.0)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # started by another process: not ours to reap
        os.waitpid(pid, 0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _escaped(path: Path) -> str:
    # A comma separates the options of one QEMU argument; two stand for one.
    return str(path).replace(",", ",,")
