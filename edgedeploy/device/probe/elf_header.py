"""Read the header of a Linux program: for which machine it is."""

from __future__ import annotations

from msgspec import Struct

# https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
_MACHINES = {3: "i686", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}


class Header(Struct, frozen=True):
    machine: str
    """`"arm"` is every 32-bit Arm."""
    bits: int


def read(content: bytes) -> Header | None:
    """Read a header from at least 20 bytes; None when it is not a little-endian program for a known machine."""
    if len(content) < 20 or content[:4] != b"\x7fELF" or content[4] not in (1, 2) or content[5] != 1:
        return None
    machine = _MACHINES.get(int.from_bytes(content[18:20], "little"))
    return Header(machine, 32 * content[4]) if machine else None
