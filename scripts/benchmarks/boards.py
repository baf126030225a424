"""Boot emulated boards of each kind: image sizes and seconds to the first login.

Usage: scripts/bench boards [--targets TARGET,TARGET] [--boots N] [--counting]

Of several boots the quickest is given, as all that a busy machine does to a boot is make it longer. The emulator's
processor time stands beside it: that much is to be done, whatever else runs here. Images that are missing are built
before; boards are named `bench-boot-…` and deleted after.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from edgedeploy.device.emulator.board import board_down, board_up
from edgedeploy.foundation.files import cache_folder

_TARGETS = "rpi5,rpi4,rpi3,rpi4-32,rpi2"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench boards", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", default=_TARGETS, metavar="TARGET,TARGET")
    parser.add_argument("--boots", type=int, default=3, metavar="N")
    parser.add_argument("--counting", action="store_true", help="boards whose clock counts instructions")
    arguments = parser.parse_args()
    print("| board | system | disk image, MB | kernel and `/init`, MB | boot, s | emulator's processor time, s |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for target in arguments.targets.split(","):
        for minimal in (False, True):
            print(_row(target, minimal, arguments.counting, arguments.boots), flush=True)


def _row(target: str, minimal: bool, counting: bool, boots: int) -> str:
    name = f"bench-boot-{target}"
    image = Path()
    boot_s, processor_s = [], []
    try:
        for _ in range(boots):
            status = board_up(name, target=target, minimal=minimal, counting=counting)
            assert status.pid is not None and status.boot_s is not None and status.image is not None
            image = cache_folder() / "images" / status.image
            boot_s.append(status.boot_s)
            processor_s.append(_processor_s(status.pid))
            board_down(name)
    finally:
        board_down(name, delete=True)
    disk_mb = (image / "disk.ext4").stat().st_blocks * 512 / 1e6  # what is allocated of a sparse file
    rest_mb = sum((image / part).stat().st_size for part in ("kernel", "initramfs")) / 1e6
    system = "minimal" if minimal else "Debian with Python"
    return f"| {target} | {system} | {disk_mb:.0f} | {rest_mb:.0f} | {min(boot_s):.1f} | {min(processor_s):.1f} |"


def _processor_s(pid: int) -> float:
    """What a process and its threads have taken so far: fields 14 and 15 of proc(5)'s `stat`."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


if __name__ == "__main__":
    main()
