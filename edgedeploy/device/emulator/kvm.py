"""Whether a board's programs can run on this machine's own cores, by KVM, instead of being emulated."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from edgedeploy.values.target import Emulation

KVM = Path("/dev/kvm")


def kvm_refusal(emulation: Emulation, *, counting: bool = False) -> str:
    """Say why a board is emulated and not run by KVM; empty where KVM will do.

    A 32-bit system on a 64-bit kernel is emulated always: not every 64-bit core has a mode for its programs.
    """
    machine = platform.machine()
    architecture = emulation.kernel_architecture or emulation.debian_architecture
    if (machine, architecture, emulation.debian_architecture) not in (
        ("aarch64", "arm64", "arm64"),
        ("arm64", "arm64", "arm64"),
    ):
        return f"this machine is {machine}, and the board's programs are for {emulation.debian_architecture}"
    if counting:
        return "only an emulator counts instructions"
    try:
        os.close(os.open(KVM, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{KVM}: {error.strerror}"
    return ""
