"""Boot a board, and know when it is up: it has let us log in."""

from __future__ import annotations

import contextlib
import functools
import time
from pathlib import Path

from msgspec import structs

from edgedeploy.device.emulator import qemu
from edgedeploy.device.emulator.files import write_initramfs
from edgedeploy.device.emulator.kvm import kvm_refusal
from edgedeploy.device.emulator.login import BoardAccess, wait_for_login
from edgedeploy.device.emulator.state import BoardState, write_state
from edgedeploy.device.emulator.userland import USER
from edgedeploy.foundation.errors import BoardError, EdgedeployError
from edgedeploy.foundation.files import write_bytes
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.reading import CONSOLE, STATE, read_file, read_text
from edgedeploy.values.target import Emulation, Target

_ANSWER_TIMEOUT_S = 30.0
_LAST_LINES = 30  # a kernel that panics prints its reason and then some twenty lines
# What rootfs/start writes on the console. Knocking before that would only be retried slowly by QEMU's network.
_NETWORK_IS_UP = b"edgedeploy: the network is up"
_LOOK_S = 0.05


def boot(
    name: str,
    folder: Path,
    image: Path,
    target: Target,
    emulation: Emulation,
    state: BoardState,
    timeout_s: float,
    progress: Progress,
) -> None:
    """Start a board's QEMU and wait for the first login. When that fails, its power is cut.

    Args:
        folder: of the board; its files are there.
        image: the folder of the image that it was made from.
        timeout_s: for the boot, in seconds.

    Raises:
        HostError, BoardError: QEMU does not start, or the board does not let us in; with the end of its console.
    """
    progress.step(f"booting {name}")
    begun = time.monotonic()
    try:
        write_initramfs(name, folder, image)
        state = structs.replace(state, phase="booting")
        write_state(folder, state)
        port, kvm = _start(folder, image / "kernel", target, emulation, state, progress)
        version = qemu.version(qemu.program(target, emulation))
        state = structs.replace(state, port=port, kvm=kvm, emulator=version)
        write_state(folder, state)
        host_key = read_text(folder / "host_key.pub", STATE).strip()
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


def _start(
    folder: Path, kernel: Path, target: Target, emulation: Emulation, state: BoardState, progress: Progress
) -> tuple[int, bool]:
    """Start QEMU, by KVM where it can be; return the port of the board's SSH, and whether it is by KVM."""
    start = functools.partial(qemu.start, target, emulation, folder, kernel=kernel, port=state.port)
    if not kvm_refusal(emulation, counting=state.counting):
        try:
            return start(kvm=True), True
        except BoardError as error:
            progress.note(f"KVM does not take the board, which is emulated instead: {error.why}")
    return start(counting=state.counting), False


def _wait_until_up(name: str, folder: Path, state: BoardState, deadline: float) -> None:
    def still_on() -> bool:
        return qemu.is_on(folder)

    console = folder / qemu.CONSOLE_LOG
    while still_on() and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if _NETWORK_IS_UP in read_file(console, CONSOLE):
                break
        time.sleep(_LOOK_S)
    if wait_for_login(access_to(folder, state), still_on, deadline):
        return
    what = "does not let us log in" if still_on() else "ended while it booted"
    raise BoardError(
        f"board {name} {what}",
        why=_console_end(folder),
        hint=f"edgedeploy board up {name}; if that fails again, remove it first: edgedeploy board down {name} --delete",
    )


def answers(folder: Path, state: BoardState) -> bool:
    """Tell whether a board that runs lets us log in, within 30 s."""
    return state.port is not None and wait_for_login(
        access_to(folder, state), lambda: qemu.is_on(folder), time.monotonic() + _ANSWER_TIMEOUT_S
    )


def access_to(folder: Path, state: BoardState) -> BoardAccess:
    """Return the way into a board that was booted."""
    assert state.port is not None
    return BoardAccess(
        host="127.0.0.1",
        port=state.port,
        user=USER,
        key_path=folder / "id_ed25519",
        known_hosts_path=folder / "known_hosts",
        counting=state.counting,
        kvm=state.kvm,
        emulator=state.emulator,
    )


def _console_end(folder: Path) -> str:
    lines: list[str] = []
    with contextlib.suppress(OSError):
        text = read_text(folder / qemu.CONSOLE_LOG, CONSOLE, errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
    return "\n    ".join(("its console ends with:", *lines[-_LAST_LINES:])) if lines else "its console is empty"
