"""A kind of board."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Architecture = Literal["aarch64", "armv7l", "armv6l", "x86_64"]


class Cpu(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    core: str
    """The core's name as GCC's `-mcpu` has it (for x86-64 its `-march`), e.g. `"cortex-a72"`."""
    part: int | None = None
    """What Linux says of an Arm core as `CPU part` in `/proc/cpuinfo`, e.g. `0xd08`; None when it may be any."""
    cores: int
    clock_mhz: int
    """The highest that it has as it is sold."""
    features: tuple[str, ...]
    """Of those that choose kernels, named as in Linux's `/proc/cpuinfo`, e.g. `"asimd"`, `"asimddp"`. Every board of
    this kind has them."""
    cache_bytes: int | None = None
    """All that lies between the cores and the memory, the last two levels together; None when it differs."""


class OperatingSystem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    release: str = ""
    """Its short name, e.g. `"bookworm"`: what is said after a colon, as in `rpi4:trixie`."""
    python: str
    """Major and minor version of its own Python 3, e.g. `"3.11"`."""
    glibc: str
    page_size_bytes: int = 4096
    """Of the kernel that it starts by default on this kind of board."""


class Roofline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a core and the memory can do at most. What is faster was measured wrong; it is no estimate of a latency."""

    float32_macs_per_cycle: float
    """Multiplications with addition that one core ends in one cycle, of 32-bit floats."""
    int8_macs_per_cycle: float
    """The same of 8-bit integers into a wider sum."""
    memory_bytes_per_s: float
    """What the memory's bus carries at its clock; a copy reads and writes."""


class Emulation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How QEMU stands in for the board."""

    machine: str
    cpu: str
    cores: int
    memory_mb: int
    debian_release: str
    """Of a board that is made where nothing else is said and this machine's own release is none of the target's."""
    debian_architecture: str
    kernel_package: str
    kernel_packages: dict[str, str] = {}
    """By release, where it is not `kernel_package`. Ubuntu's releases need one each."""
    kernel_architecture: str = ""
    """Debian's name of the kernel's architecture, where it is not `debian_architecture`: a 64-bit kernel runs 32-bit
    programs on the boards whose core has a mode for them."""


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file in `targets/`. `name` is the file's name without `.toml`."""

    title: str
    architecture: Architecture
    """Of the programs, which may be of 32 bits where the kernel is of 64."""
    memory_mb: tuple[int, ...]
    """The sizes that the board is sold with, smallest first."""
    cpu: Cpu
    os: OperatingSystem
    """What is built for when nothing else is said."""
    other_os: tuple[OperatingSystem, ...] = ()
    """Other systems that such boards run."""
    backends: tuple[str, ...]
    """In order of preference: the first that can is what `auto` takes."""
    sources: tuple[str, ...]
    """Where the facts come from."""
    boards: tuple[str, ...] = ()
    """How the device tree's `model` begins on boards of this kind, e.g. `"Raspberry Pi 4 Model B"`."""
    roofline: Roofline | None = None
    """None when the target is of many boards."""
    emulation: Emulation | None = None
    name: str = ""
