"""What boards answer to the probe's script, for tests: as real ones do, with what a test changes."""

from __future__ import annotations

from edgedeploy.device.probe.probe import read_answer
from edgedeploy.values.probe import Probe

AARCH64 = "7f 45 4c 46 02 01 01 00 00 00 00 00 00 00 00 00 03 00 b7 00 01 00 00 00"
ARM = "7f 45 4c 46 01 01 01 00 00 00 00 00 00 00 00 00 03 00 28 00 01 00 00 00"
X86_64 = "7f 45 4c 46 02 01 01 00 00 00 00 00 00 00 00 00 03 00 3e 00 01 00 00 00"

_A72 = "fp asimd evtstrm crc32 cpuid"
_A76 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
_A7 = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm"


def answer(*, part: str, features: str, board: str, machine: str, shell: str, loader: str, memory_kib: int) -> str:
    return f"""machine {machine}
kernel Linux
kernel 6.6.51+rpt-rpi-v8
board {board}
system PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
system ID=debian
system VERSION_ID="12"
system VERSION_CODENAME=bookworm
shell {shell}
page 4096
cpu CPU implementer\t: 0x41
cpu CPU part\t: {part}
cpu Features\t: {features}
cpu Model\t\t: {board}
online 0-3
processors 4
clock 1800000 600000 ondemand
memory MemTotal:        {memory_kib} kB
memory MemAvailable:    {memory_kib // 2} kB
memory SwapTotal:         204796 kB
memory SwapFree:          204796 kB
disk /dev/root        30358004 3241844  25861748      12% /
loader {loader}
libc glibc 2.36
python 3.11 {"32" if shell == ARM else "64"} glibc 2.36
thermal 48686 cpu-thermal
throttled throttled=0x50005
end
"""


RPI5 = answer(
    part="0xd0b", features=_A76, board="Raspberry Pi 5 Model B Rev 1.0", machine="aarch64", shell=AARCH64,
    loader="/lib/ld-linux-aarch64.so.1", memory_kib=8245296,
).replace("page 4096", "page 16384")  # fmt: skip
RPI4 = answer(
    part="0xd08", features=_A72, board="Raspberry Pi 4 Model B Rev 1.4", machine="aarch64", shell=AARCH64,
    loader="/lib/ld-linux-aarch64.so.1", memory_kib=3884344,
)  # fmt: skip
RPI4_32 = answer(
    part="0xd08", features=_A72, board="Raspberry Pi 4 Model B Rev 1.4", machine="aarch64", shell=ARM,
    loader="/lib/ld-linux-armhf.so.3", memory_kib=3884344,
)  # fmt: skip
RPI3 = answer(
    part="0xd03", features=_A72, board="Raspberry Pi 3 Model B Plus Rev 1.3", machine="aarch64", shell=AARCH64,
    loader="/lib/ld-linux-aarch64.so.1", memory_kib=930484,
)  # fmt: skip
ZERO_2 = answer(
    part="0xd03", features=_A72, board="Raspberry Pi Zero 2 W Rev 1.0", machine="aarch64", shell=AARCH64,
    loader="/lib/ld-linux-aarch64.so.1", memory_kib=427180,
)  # fmt: skip
RPI2 = answer(
    part="0xc07", features=_A7, board="Raspberry Pi 2 Model B Rev 1.1", machine="armv7l", shell=ARM,
    loader="/lib/ld-linux-armhf.so.3", memory_kib=944264,
)  # fmt: skip
ZERO = answer(
    part="0xb76", features="half thumb fastmult vfp edsp java tls", board="Raspberry Pi Zero W Rev 1.1",
    machine="armv6l", shell=ARM, loader="/lib/ld-linux-armhf.so.3", memory_kib=439612,
)  # fmt: skip
PC = answer(
    part="0x000", features="", board="", machine="x86_64", shell=X86_64, loader="/lib64/ld-linux-x86-64.so.2",
    memory_kib=16 << 20,
).replace("cpu Features\t: \n", "cpu flags\t: fpu sse4_2 avx avx2 fma f16c\n")  # fmt: skip


def without(text: str, *keys: str) -> str:
    """An answer without the lines that begin with one of the words."""
    return "".join(f"{line}\n" for line in text.splitlines() if line.split(" ", 1)[0] not in keys)


def probed(text: str, address: str = "board") -> Probe:
    return read_answer(text.encode(), address)
