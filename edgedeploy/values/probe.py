"""The facts that a device reports when it is probed."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from edgedeploy.values.throttling import ThrottlingEvent


class Python(Struct, frozen=True, kw_only=True):
    """A Python 3 that is found on the device's PATH."""

    version: str
    """Major and minor, e.g. `"3.11"`."""
    bits: int
    """Of an address: 32 or 64. Programs of 32 bits are common on kernels of 64."""


class CLibrary(Struct, frozen=True, kw_only=True):
    kind: Literal["glibc", "musl", "none", "unknown"]
    """`"none"`: there is no program loader for shared libraries, all programs are static."""
    version: str
    """E.g. `"2.36"`; empty where it is not known."""


class System(Struct, frozen=True, kw_only=True):
    """From `/etc/os-release`; empty where it is not there."""

    name: str = ""
    id: str = ""
    version: str = ""
    codename: str = ""


class Fit(Struct, frozen=True, kw_only=True):
    """The target that fits a device best."""

    target: str
    """As `--target` takes it: with a release of its system after a colon where that is not the target's first."""
    why: tuple[str, ...]
    but: tuple[str, ...] = ()
    """In what the device is less than the target is by default, or another than it."""


class MachineKind(Struct, frozen=True, kw_only=True):
    """What executes a device's programs."""

    kind: Literal["hardware", "virtual machine", "emulator"] = "hardware"
    """`"hardware"`: nothing says otherwise. `"virtual machine"`: a real core, which others may share. `"emulator"`: the
    instructions are executed by software, so that wall-clock times are no latency."""
    name: str = ""
    """Of the hypervisor or emulator, e.g. `"KVM"`, `"Amazon EC2"`, `"QEMU"`, `"qemu-user"`."""
    container: str = ""
    """E.g. `"docker"`; empty outside one. It changes nothing about time."""

    @property
    def hypervisor(self) -> str | None:
        """Of a virtual machine, its name or `"unknown"`; None of others."""
        return (self.name or "unknown") if self.kind == "virtual machine" else None

    @property
    def words(self) -> str:
        """In words, e.g. `"virtual machine (KVM), in a docker container"`."""
        name = f" ({self.name})" if self.name else ""
        return f"{self.kind}{name}" + (f", in a {self.container} container" if self.container else "")


class Probe(Struct, frozen=True, kw_only=True):
    """None and empty stand for what the device did not say, or not in a way that can be believed."""

    address: str
    machine: str
    """`uname -m`: of the kernel, whose programs may be others."""
    kernel: str
    """`uname -sr`"""
    board: str
    """As the device tree or the firmware names it, e.g. `"Raspberry Pi 4 Model B Rev 1.4"`."""
    system: System
    architectures: tuple[str, ...]
    """Of the programs that run there: of the device's own shell first, then what it has a program loader for."""
    userland_bits: int | None
    cpu: str
    cpu_part: int | None
    """Of an Arm core, e.g. 0xd08; None also where the cores differ."""
    cpu_features: tuple[str, ...]
    """What all cores have, as `/proc/cpuinfo` names it; sorted."""
    cores: int | None
    clock_max_mhz: float | None
    clock_now_mhz: float | None
    governor: str
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    swap_total_bytes: int | None
    swap_free_bytes: int | None
    disk_free_bytes: int | None
    """In the file system of the user's home folder, for this user."""
    page_size_bytes: int | None
    libc: CLibrary
    pythons: tuple[Python, ...]
    """`python3` first, then those under a name with a version."""
    temperature_c: float | None
    throttled: tuple[ThrottlingEvent, ...] | None
    """What a Raspberry Pi's firmware reports, now or since the board was started; None without such firmware."""
    machine_kind: MachineKind = MachineKind()
    fit: Fit | None = None
    """None where no target is for such a device."""
