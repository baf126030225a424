"""What the device is, and what changes while it is measured, as Linux and a Raspberry Pi's firmware report it."""

from __future__ import annotations

import contextlib
import glob
import os
import platform
import time
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from .channel import Message, RequestError

RELEASE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # the release's folder: this one lies in it
SYS = "/sys"


def conditions(runtime: Dict[str, str]) -> Message:
    """The device as it describes itself."""
    processor, features = cpu()
    memory = meminfo()
    return {
        "machine": platform.machine(),
        "kernel": "%s %s" % (platform.system(), platform.release()),
        "cpu": processor,
        "cpu_features": features,
        "cores": os.cpu_count() or 1,
        "board": (read("/proc/device-tree/model") or "").strip("\0") or None,
        "os": os_name(),
        "memory_total_bytes": memory.get("MemTotal"),
        "memory_available_bytes": memory.get("MemAvailable"),
        "load_average_1min": load_average(),
        "temperature_c": temperature_c(),
        "governor": read(SYS + "/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clock_max_mhz": clock_max_mhz(),
        "python": platform.python_version(),
        "runtime": runtime,
    }


def read(path: str) -> Optional[str]:
    """A small file's text without the white space around it; None when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(65536).strip()
    except OSError:
        return None


# Part numbers in Arm's MIDR_EL1, as https://github.com/util-linux/util-linux/blob/master/sys-utils/lscpu-arm.c has
# collected them from the cores' reference manuals; those that run Linux on boards.
ARM_CORES = {
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
ARM = 0x41


def cpu() -> Tuple[str, List[str]]:
    """Names of the cores, with how many of each where there are several kinds, and features of the first."""
    features: List[str] = []
    counts: Dict[str, int] = {}
    for block in (read("/proc/cpuinfo") or "").split("\n\n"):
        facts: Dict[str, str] = {}
        for line in block.splitlines():
            key, colon, value = line.partition(":")
            if colon:
                facts.setdefault(key.strip().lower(), value.strip())
        features = features or (facts.get("features") or facts.get("flags") or "").split()
        name = core_name(facts)
        if name:
            counts[name] = counts.get(name, 0) + 1
    if len(counts) > 1:
        return " + ".join("%d x %s" % (count, name) for name, count in counts.items()), features
    return next(iter(counts), platform.processor() or "unknown"), features


def core_name(facts: Dict[str, str]) -> Optional[str]:
    """Of one block of /proc/cpuinfo; None when it says nothing of a core."""
    part = facts.get("cpu part")
    if part is None:
        return facts.get("model name")
    try:
        implementer, number = int(facts.get("cpu implementer", ""), 16), int(part, 16)
    except ValueError:
        return "part " + part
    if implementer != ARM:
        return "implementer 0x%02x part 0x%03x" % (implementer, number)
    revision = "r%sp%s" % (facts.get("cpu variant", "?").replace("0x", ""), facts.get("cpu revision", "?"))
    return "Arm %s %s" % (ARM_CORES.get(number, "core 0x%03x" % number), revision)


def bind(wanted: Sequence[int]) -> None:
    """Let this process, and the threads that it will start, run on these CPUs only."""
    if not hasattr(os, "sched_setaffinity"):
        raise RequestError("this system binds no process to CPUs")
    allowed = sorted(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError, OverflowError):
        os.sched_setaffinity(0, wanted)
    # The kernel leaves out CPUs that there are none of, and takes the rest.
    if os.sched_getaffinity(0) != set(wanted):
        os.sched_setaffinity(0, allowed)
        listed = [",".join(map(str, numbers)) for numbers in (wanted, allowed)]
        raise RequestError("this process cannot be bound to CPU %s; it may use CPU %s" % tuple(listed))


def cores() -> int:
    """How many this process may use: a container or cpuset can allow it fewer than there are."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def meminfo() -> Dict[str, int]:
    found = {}
    for line in (read("/proc/meminfo") or "").splitlines():
        words = line.split()
        if len(words) >= 2 and words[1].isdigit():
            found[words[0].rstrip(":")] = int(words[1]) * 1024
    return found


def os_name() -> str:
    for line in (read("/etc/os-release") or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip("\"'")
    return platform.system()


def load_average() -> Optional[float]:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def largest(paths: Iterable[str]) -> Optional[int]:
    """Of the whole numbers that these files hold; None where there is none."""
    texts = [read(path) or "" for path in paths]
    return max((int(text) for text in texts if text.lstrip("-").isdigit()), default=None)


def temperature_c() -> Optional[float]:
    """The hottest thermal zone, in degrees Celsius; the kernel gives thousandths."""
    found = largest(glob.glob(SYS + "/class/thermal/thermal_zone*/temp"))
    return None if found is None else found / 1000.0


def clock_max_mhz() -> Optional[float]:
    """Of the fastest cluster, as the hardware allows it."""
    found = largest(glob.glob(SYS + "/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq"))
    return None if found is None else found / 1000.0


class Watch:
    """What changes while a device is measured, where this system tells it. The files are looked for once: reading them
    is then some hundred microseconds, once a second, between two inferences.

    https://docs.kernel.org/admin-guide/pm/cpufreq.html, https://docs.kernel.org/driver-api/thermal/sysfs-api.html,
    https://docs.kernel.org/hwmon/sysfs-interface.html. `get_throttled` is of Raspberry Pi's kernels, its bits as
    https://www.raspberrypi.com/documentation/computers/os.html#get_throttled lists them.
    """

    def __init__(self) -> None:
        self.zones = glob.glob(SYS + "/class/thermal/thermal_zone*/temp")
        self.clocks = glob.glob(SYS + "/devices/system/cpu/cpufreq/policy*/scaling_cur_freq")
        self.throttled = glob.glob(SYS + "/devices/platform/soc*/*firmware/get_throttled")
        kinds = {path: (read(path) or "").lower() for path in glob.glob(SYS + "/class/thermal/cooling_device*/type")}
        # "cpufreq-cpu0" on Arm, "Processor" on x86; the others are fans, lamps and the like.
        coolers = [path for path, kind in kinds.items() if "cpu" in kind or kind == "processor"]
        self.coolers = [os.path.dirname(path) + "/cur_state" for path in coolers]
        self.powers = glob.glob(SYS + "/class/hwmon/hwmon*/power*_input")
        # A Jetson's INA3221 gives a rail's current and its voltage, and no product.
        self.currents = glob.glob(SYS + "/class/hwmon/hwmon*/curr*_input")

    def state(self, asks: bool) -> Message:
        """In degrees Celsius, MHz (of the fastest cluster), W (of the largest sensor); `cooling` is 0 where the kernel
        does not slow the cores down. `asks`: what the kernel does not tell is asked of the firmware's program."""
        memory = meminfo()
        zone, clock = largest(self.zones), largest(self.clocks)
        temperature = None if zone is None else zone / 1000.0
        throttled = hexadecimal(read(self.throttled[0])) if self.throttled else None
        if asks and throttled is None:
            throttled = hexadecimal(firmware("get_throttled", "throttled="))
        if asks and temperature is None:
            temperature = celsius(firmware("measure_temp", "temp="))
        return {
            "temperature_c": temperature,
            "clock_mhz": None if clock is None else clock / 1000.0,
            "throttled": throttled,
            "cooling": largest(self.coolers),
            "memory_available_bytes": memory.get("MemAvailable"),
            "swap_used_bytes": memory["SwapTotal"] - memory["SwapFree"] if "SwapTotal" in memory else None,
            "load_average_1min": load_average(),
            "power_w": self.power_w(),
            "cpu_busy_s": cpu_busy_s(),
            "cpu_own_s": time.process_time(),
        }

    def power_w(self) -> Optional[float]:
        """Of the largest sensor; the kernel gives microwatts, milliamperes and millivolts."""
        power = largest(self.powers)
        found = [] if power is None else [power / 1e6]
        for path in self.currents:
            folder, name = os.path.split(path)
            current, voltage = largest([path]), largest([os.path.join(folder, name.replace("curr", "in", 1))])
            if current is not None and voltage is not None:
                found.append(current * voltage / 1e6)
        return max(found, default=None)


def firmware(question: str, key: str) -> Optional[str]:
    """What a Raspberry Pi's firmware answers where the kernel does not tell; None elsewhere. It takes milliseconds."""
    import shutil
    import subprocess

    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        asked = [program, question]
        output = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    text = output[:128].decode("utf-8", "replace").strip()
    return text[len(key) :] if text.startswith(key) else None


def hexadecimal(text: Optional[str]) -> Optional[int]:
    try:
        found = int(text or "", 16)
    except ValueError:
        return None
    return found if found >= 0 else None


def celsius(text: Optional[str]) -> Optional[float]:
    """`48.3'C` → 48.3"""
    try:
        found = float((text or "").split("'")[0])
    except ValueError:
        return None
    return found if -273 < found < 1000 else None


def cpu_busy_s() -> Optional[float]:
    """Seconds that all CPUs together were at work since the start, or taken by a hypervisor (proc(5), /proc/stat)."""
    words = (read("/proc/stat") or "").partition("\n")[0].split()
    if words[:1] != ["cpu"] or len(words) < 9:
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, words[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def forget_files() -> None:
    """Take this release's files out of the page cache, as far as nobody has them mapped: as after a restart, the load
    that follows reads them from the disk. This program itself is the exception (posix_fadvise(2))."""
    if not hasattr(os, "posix_fadvise"):
        raise RequestError("this system cannot take files out of its memory")
    for folder, _, names in os.walk(RELEASE):
        for name in names:
            with contextlib.suppress(OSError), open(os.path.join(folder, name), "rb") as file:
                # Only what is on the disk already can be taken out.
                os.fdatasync(file)
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def memory_now() -> Message:
    """What this process has in memory: all of it, and its proportional share of what others have too (proc(5)). These
    are exact; the kernel keeps VmRSS and VmHWM some hundred KiB behind."""
    found: Message = {"rss_bytes": None, "pss_bytes": None}
    for line in (read("/proc/self/smaps_rollup") or "").splitlines():
        words = line.split()
        if words[:1] in (["Rss:"], ["Pss:"]):
            found[words[0][:3].lower() + "_bytes"] = int(words[1]) * 1024
    return found


def peak_rss_bytes() -> Optional[int]:
    """Largest resident set of this process so far: VmHWM, in KiB (proc(5)).

    Not getrusage(2): its figure survives exec(2), so that it is the parent's where that one was larger.
    """
    for line in (read("/proc/self/status") or "").splitlines():
        words = line.split()
        if words[:1] == ["VmHWM:"]:
            return int(words[1]) * 1024
    return None
