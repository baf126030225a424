"""Names of Arm's cores: Linux says the part number only, as `CPU part` in `/proc/cpuinfo`.

This is the table of this machine. What runs on a board has a copy of its own, in runner/python/device.py and
runner/c/device.c, as it can import nothing; a test holds the three to each other.
"""

from __future__ import annotations

ARM = 0x41
"""Arm's own number among designers, as `CPU implementer` in `/proc/cpuinfo`."""

# Part numbers in MIDR_EL1, as https://github.com/util-linux/util-linux/blob/master/sys-utils/lscpu-arm.c has collected
# them from the cores' reference manuals; those that run Linux on boards. Spelt as Arm does.
_NAMES = {
    0xB76: "ARM1176",
    0xC05: "Cortex-A5",
    0xC07: "Cortex-A7",
    0xC08: "Cortex-A8",
    0xC09: "Cortex-A9",
    0xC0D: "Cortex-A17",
    0xC0E: "Cortex-A17",
    0xC0F: "Cortex-A15",
    0xD01: "Cortex-A32",
    0xD02: "Cortex-A34",
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse N1",
    0xD0D: "Cortex-A77",
    0xD0E: "Cortex-A76AE",
    0xD40: "Neoverse V1",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD49: "Neoverse N2",
    0xD4B: "Cortex-A78C",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
}


def arm_core_name(part: int) -> str:
    """Name the core with this part number, e.g. `"Cortex-A72"` for 0xd08; `"Arm part 0x…"` for one not in the table."""
    return _NAMES.get(part, f"Arm part {part:#x}")


def arm_core_parts() -> tuple[int, ...]:
    """List the part numbers that have a name, in ascending order."""
    return tuple(sorted(_NAMES))
