"""Which part number is which core of Arm's: Linux gives the number only, in `/proc/cpuinfo`.

The runners have the same table each, since they import nothing of edgedeploy; a test holds the three together.
"""

from __future__ import annotations

IMPLEMENTER = 0x41
"""Arm itself, as `CPU implementer`."""

# Part numbers in Arm's MIDR_EL1, as https://github.com/util-linux/util-linux/blob/master/sys-utils/lscpu-arm.c has
# collected them from the cores' reference manuals; those that run Linux on boards.
ARM_CORES: dict[int, str] = {
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
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD0E: "Cortex-A76AE",
    0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD49: "Neoverse-N2",
    0xD4B: "Cortex-A78C",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
}
