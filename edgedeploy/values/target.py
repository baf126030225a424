"""A kind of board."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Architecture = Literal["aarch64", "armv7l", "armv6l", "x86_64"]


class Cpu(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    core: str
    """The core's name as GCC's `-mcpu` has it, e.g. `"cortex-a72"`."""
    cores: int
    clock_mhz: int
    features: tuple[str, ...]
    """Of those that choose kernels, named as in Linux's `/proc/cpuinfo`, e.g. `"asimd"`, `"asimddp"`."""


class OperatingSystem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    python: str
    """Major and minor version of its own Python 3, e.g. `"3.11"`."""
    glibc: str
    page_size_bytes: int = 4096


class Emulation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How QEMU stands in for the board."""

    machine: str
    cpu: str
    cores: int
    memory_mb: int
    debian_release: str
    debian_architecture: str
    kernel_package: str


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file in `targets/`. `name` is the file's name without `.toml`."""

    title: str
    architecture: Architecture
    memory_mb: tuple[int, ...]
    """The sizes that the board is sold with, smallest first."""
    cpu: Cpu
    os: OperatingSystem
    backends: tuple[str, ...]
    """In order of preference: the first is what `auto` takes."""
    sources: tuple[str, ...]
    """Where the facts come from."""
    emulation: Emulation | None = None
    name: str = ""
