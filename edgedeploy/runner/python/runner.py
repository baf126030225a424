"""Runs a release's model on the device it lies on. Sent with bundles; needs Python, numpy and the engine beside it.

    run check       load the model, run the golden inputs, say in one line of JSON whether it is healthy; exit 0 or 1
    run serve       answer requests on standard input and output until it ends
    run bench --seconds S
                    time the golden inputs for so long, say in one line of JSON what was seen; exit 0 or 1

A message is one line of JSON, followed by the raw bytes of the arrays that its "arrays" lists (name, dtype, shape),
little-endian, in C order, back to back. Nothing is ever unpickled. Requests and their answers:

    {"do": "hello"}                       → "conditions": what this device is, "protocol": 1, "can": what this runner
                                            can do of what those before it could not: ABILITIES
        + "brief": true: without "conditions", whose words differ in length from time to time: with them read before
          the model is loaded, memory would be laid out otherwise, and counts of instructions move by up to 0.5 %
    {"do": "load", "threads": N|null}     → "import_ms", "load_ms"
        + "affinity": [CPU, …]: on these CPUs only
        + "cold": true: after the release's files were taken out of the system's memory
        + array "model", uint8: the bytes of another model, in place of the release's own
    {"do": "infer"} + arrays              → "elapsed_ns" + arrays: the outputs
    {"do": "bench", "warmup": N, "warmup_s": S, "min_samples": N, "min_s": S, "max_samples": N, "max_s": S}
                                          → a "progress" message a second, then "first_ns", "elapsed_s" + arrays:
                                            "warmup_ns" and "samples_ns", int64
        + "every_ms": T: an inference begins T ms after the one before began, or once that has ended
        + "watch": true: each "progress" has the device's "state", and there is one more before and after
        + arrays "I:NAME": feed I, in place of the golden inputs; what the model does not take is left out
    {"do": "golden", "index": I}          → arrays "output:NAME" as kept and "found:NAME" as computed now
    {"do": "profile", "runs": N}          → array "trace", uint8: of one inference more than N, as the engine's own
                                            profiler wrote it
    {"do": "memory"}                      → "peak_rss_bytes", "rss_bytes", "pss_bytes"
    {"do": "quit"}

An answer has "is": the request's name, or "progress", or "error" with "what". It is one file, however long, so that
a device needs nothing else of edgedeploy; and written for Python 3.9, which is what boards have. What loads and runs
models is `engine.py`, of which each runtime has one of its own: a class `Session` and a function `versions`.
"""

from __future__ import annotations

import array
import contextlib
import gc
import glob
import importlib
import json
import os
import platform
import sys
import time
from typing import IO, Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple

Message = Dict[str, Any]
Arrays = Dict[str, Any]  # numpy is imported with the engine, not before: its time is part of `import_ms`

HERE = os.path.dirname(os.path.abspath(__file__))
PROTOCOL = 1
ABILITIES = ("affinity", "every_ms", "watch", "cold")
SYS = "/sys"
LINE_LIMIT_BYTES = 1 << 20
NUMERIC = "biuf"  # numpy's kinds that are plain bytes: booleans, integers, floats
# A health check asks whether this is the same model at work, not how good it is; that is `edgedeploy test`. Integer
# kernels differ between instruction sets: where 8-bit products saturate (x86-64 without VNNI) a sound model may lose a
# tenth of its signal, which is a cosine of 1 / sqrt(1.1) = 0.95. One that is broken answers something else altogether.
HEALTHY_COSINE = 0.9
# Of whole numbers (classes, tokens) where the cosine means nothing.
HEALTHY_EQUAL_SHARE = 0.5
# What a 90th percentile takes: MLPerf's bound for early stopping, see measure/statistics.py.
P90_SAMPLES = 64
BENCH_WARMUP_S = 0.5
BENCH_MAX_SAMPLES = 1000000
BENCH_MAX_S = 3600.0


class RequestError(Exception):
    """What is wrong with a request, in words for the person who made it."""


class FramingError(Exception):
    """The stream is not messages: where the next one begins is unknown, so the conversation ends."""


class Release:
    """The model beside this file, its facts and its golden samples."""

    def __init__(self) -> None:
        with open(os.path.join(HERE, "manifest.json"), encoding="utf-8") as file:
            self.manifest: Message = json.load(file)
        self.session: Any = None
        self.runtime: Dict[str, str] = {}
        self.outputs: List[str] = [output["name"] for output in self.manifest["model"]["outputs"]]

    def load(self, threads: Optional[int] = None, model: Any = None) -> Tuple[int, int]:
        """Import the engine and load the model, each timed, in nanoseconds.

        `model` is an array of bytes: another model, which is then run in place of the release's own.
        """
        begun = time.perf_counter_ns()
        engine: Any = importlib.import_module("engine")
        imported = time.perf_counter_ns()
        self.session = None
        content = os.path.join(HERE, self.manifest["model_file"]) if model is None else model.tobytes()
        settings = self.manifest["runtime"].get("settings", {})
        self.session = engine.Session(content, threads or min(settings.get("threads", cores()), cores()), settings)
        if model is not None:
            self.outputs = list(self.session.outputs)
        self.runtime = engine.versions()
        return imported - begun, time.perf_counter_ns() - imported

    def profile(self, runs: int) -> bytes:
        """The trace of the engine's own profiler, where it has one."""
        engine: Any = importlib.import_module("engine")
        if not hasattr(engine, "profile"):
            raise RequestError("this runtime has no profiler")
        feeds = [self.golden(index)[0] for index in range(self.manifest["golden_samples"])]
        if not feeds:
            raise RequestError("the release has no golden samples")
        settings = self.manifest["runtime"].get("settings", {})
        path = os.path.join(HERE, self.manifest["model_file"])
        trace: bytes = engine.profile(path, min(settings.get("threads", cores()), cores()), settings, feeds, runs)
        return trace

    def infer(self, feed: Arrays) -> List[Any]:
        if self.session is None:
            raise RequestError("load the model first")
        outputs: List[Any] = self.session.run(self.outputs, feed)
        return outputs

    def golden(self, index: int) -> Tuple[Arrays, List[Any]]:
        """One golden sample: the feed, and the outputs that were kept."""
        import numpy

        if not 0 <= index < self.manifest["golden_samples"]:
            raise RequestError("there is no golden sample %d" % index)
        path = os.path.join(HERE, "golden", "%04d.npz" % index)
        with numpy.load(path, allow_pickle=False) as arrays:
            feed = {key[6:]: arrays[key] for key in arrays.files if key.startswith("input:")}
            kept = [arrays["output:" + name] for name in self.outputs]
        return feed, kept


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
        said = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    text = said[:128].decode("utf-8", "replace").strip()
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
    for folder, _, names in os.walk(HERE):
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


class Channel:
    """Messages over two files."""

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self.source = source
        self.sink = sink

    def receive(self) -> Tuple[Optional[Message], Arrays]:
        """The next message and its arrays; None at the end."""
        line = self.source.readline(LINE_LIMIT_BYTES)
        if not line:
            return None, {}
        try:
            message = json.loads(line.decode("utf-8"))
            listed = [self.listed(entry) for entry in message.pop("arrays", ())]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise FramingError("this is not a message: %s" % error)
        arrays: Arrays = {}
        for name, dtype, shape in listed:
            import numpy

            size_bytes = dtype.itemsize
            for extent in shape:
                size_bytes *= extent
            content = self.source.read(size_bytes)
            if len(content) != size_bytes:
                raise EOFError("the request ends in the middle of an array")
            values = numpy.frombuffer(content, dtype=dtype).reshape(shape)
            arrays[name] = values.astype(dtype.newbyteorder("="), copy=False)
        return message, arrays

    def listed(self, entry: Message) -> Tuple[str, Any, List[int]]:
        """Name, dtype in little-endian order and shape of an array that follows."""
        import numpy

        dtype = numpy.dtype(str(entry["dtype"])).newbyteorder("<")
        shape = [int(extent) for extent in entry["shape"]]
        if dtype.kind not in NUMERIC or any(extent < 0 for extent in shape):
            raise ValueError("an array of %s with shape %s" % (dtype, shape))
        return str(entry["name"]), dtype, shape

    def send(self, message: Message, arrays: Iterable[Tuple[str, Any]] = ()) -> None:
        listed, contents = [], []
        for name, values in arrays:
            import numpy

            values = numpy.asarray(values, order="C")
            if values.dtype.kind not in NUMERIC:
                raise RequestError("output %r is of type %s, which is not sent" % (name, values.dtype))
            listed.append({"name": name, "dtype": values.dtype.name, "shape": list(values.shape)})
            contents.append(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
        if listed:
            message = dict(message, arrays=listed)
        self.sink.write(json.dumps(message).encode("utf-8") + b"\n")
        for content in contents:
            self.sink.write(content)
        self.sink.flush()


class Loop:
    """Inferences of the golden inputs, or of `given`, in turn, each timed; the host hears of it once a second."""

    def __init__(self, release: Release, channel: Optional[Channel], given: Arrays) -> None:
        if release.session is None:
            raise RequestError("load the model first")
        if given:
            self.feeds = self.listed(given, set(release.session.inputs))
        else:
            self.feeds = [release.golden(index)[0] for index in range(release.manifest["golden_samples"])]
        if not self.feeds:
            raise RequestError("the release has no golden samples")
        self.release, self.channel = release, channel
        self.turn = 0
        self.every_s = 0.0
        self.watch: Optional[Watch] = None

    def listed(self, given: Arrays, taken: Set[str]) -> List[Arrays]:
        feeds: Dict[int, Arrays] = {}
        for key, values in given.items():
            index, _, name = key.partition(":")
            feed = feeds.setdefault(int(index), {})
            if name in taken:
                feed[name] = values
        return [feeds[index] for index in sorted(feeds)]

    def timed_ns(self) -> int:
        feed = self.feeds[self.turn % len(self.feeds)]
        self.turn += 1
        run, outputs = self.release.session.run, self.release.outputs
        begun = time.perf_counter_ns()
        run(outputs, feed)
        return time.perf_counter_ns() - begun

    def until(self, phase: str, count: int, seconds: float, max_count: int, max_s: float) -> array.array[int]:
        """Times of inferences until there are `count` of them and `seconds` have passed, or one maximum is reached."""
        times_ns = array.array("q")
        begun = told = now = due = time.monotonic()
        while len(times_ns) < count or now - begun < seconds:
            if len(times_ns) >= max_count or (now - begun >= max_s and times_ns):
                break
            if now < due:
                time.sleep(due - now)
                now = time.monotonic()
            # What is late is not made up for: a burst would be another load than the one that was asked for.
            due = max(due, now) + self.every_s
            times_ns.append(self.timed_ns())
            now = time.monotonic()
            if now - told >= 1.0:
                told = now
                self.tell(phase, len(times_ns), now - begun)
        return times_ns

    def tell(self, phase: str, samples: int = 0, elapsed_s: float = 0.0) -> None:
        if self.channel is None:
            return
        said: Message = {"is": "progress", "phase": phase, "samples": samples, "elapsed_s": round(elapsed_s, 3)}
        if self.watch is not None:
            # Not between two inferences that are timed.
            said["state"] = self.watch.state(asks=phase in ("before", "after"))
        self.channel.send(said)


def bench(release: Release, channel: Channel, request: Message, arrays: Arrays) -> None:
    """The timed loop. The first inference, the warm-up and the steady state are kept apart."""
    import numpy

    warmup, warmup_s = int(request["warmup"]), float(request["warmup_s"])
    min_samples, min_s = int(request["min_samples"]), float(request["min_s"])
    max_samples, max_s = int(request["max_samples"]), float(request["max_s"])
    loop = Loop(release, channel, arrays)
    loop.every_s = float(request.get("every_ms") or 0.0) / 1000.0
    if request.get("watch"):
        loop.watch = Watch()
        loop.tell("before")
    # As timeit does: a collection of garbage in the middle of an inference is not the model's time.
    gc.collect()
    gc.disable()
    try:
        first_ns = loop.timed_ns()
        warmup_ns = loop.until("warm-up", warmup, warmup_s, max_samples, max_s)
        begun = time.monotonic()
        samples_ns = loop.until("steady", min_samples, min_s, max_samples, max_s)
        elapsed_s = time.monotonic() - begun
    finally:
        gc.enable()
    if loop.watch is not None:
        loop.tell("after", len(samples_ns), elapsed_s)
    channel.send(
        {"is": "bench", "first_ns": first_ns, "elapsed_s": elapsed_s},
        [
            (name, numpy.array(times, dtype=numpy.int64))
            for name, times in (("warmup_ns", warmup_ns), ("samples_ns", samples_ns))
        ],
    )


def answer(release: Release, channel: Channel, request: Message, arrays: Arrays) -> bool:
    """Answer one request. False ends the conversation."""
    do = request.get("do")
    if do == "hello":
        told = {} if request.get("brief") else {"conditions": conditions(release.runtime)}
        channel.send({"is": "hello", "protocol": PROTOCOL, "can": ABILITIES, **told})
    elif do == "load":
        if request.get("affinity"):
            # Before the engine is imported: its threads are then bound with the process.
            bind([int(number) for number in request["affinity"]])
        if request.get("cold"):
            forget_files()
        import_ns, load_ns = release.load(request.get("threads"), arrays.get("model"))
        channel.send({"is": "load", "import_ms": import_ns / 1e6, "load_ms": load_ns / 1e6})
    elif do == "infer":
        begun = time.perf_counter_ns()
        outputs = release.infer(arrays)
        elapsed_ns = time.perf_counter_ns() - begun
        channel.send({"is": "infer", "elapsed_ns": elapsed_ns}, list(zip(release.outputs, outputs)))
    elif do == "bench":
        bench(release, channel, request, arrays)
    elif do == "golden":
        feed, kept = release.golden(int(request["index"]))
        found = release.infer(feed)
        named = [("output:" + name, array) for name, array in zip(release.outputs, kept)]
        named += [("found:" + name, array) for name, array in zip(release.outputs, found)]
        channel.send({"is": "golden"}, named)
    elif do == "profile":
        import numpy

        trace = numpy.frombuffer(release.profile(int(request["runs"])), dtype=numpy.uint8)
        channel.send({"is": "profile"}, [("trace", trace)])
    elif do == "memory":
        channel.send(dict({"is": "memory"}, **memory_now(), peak_rss_bytes=peak_rss_bytes()))
    elif do == "quit":
        channel.send({"is": "quit"})
        return False
    else:
        raise RequestError("unknown request %r" % do)
    return True


def serve(source: IO[bytes], sink: IO[bytes]) -> int:
    channel = Channel(source, sink)
    release = Release()
    while True:
        try:
            request, arrays = channel.receive()
            if request is None or not answer(release, channel, request, arrays):
                return 0
        except (BrokenPipeError, EOFError):
            return 1
        except Exception as error:
            # The conversation goes on: whoever asked reads why, and may ask for something else.
            channel.send({"is": "error", "what": "%s: %s" % (type(error).__name__, error)})
            if isinstance(error, FramingError):
                return 1


def check() -> int:
    """Health: the model loads, answers finite numbers of the right shapes, and is the model that was bundled."""
    release = Release()
    count = release.manifest["golden_samples"]
    verdict: Message = {"healthy": False, "problem": None, "golden_samples": count}
    try:
        import_ns, load_ns = release.load()
        verdict.update(import_ms=import_ns / 1e6, load_ms=load_ns / 1e6)
        likeness = [Likeness(output) for output in release.manifest["model"]["outputs"]]
        for index in range(count):
            feed, kept = release.golden(index)
            for output, found, wanted in zip(likeness, release.infer(feed), kept):
                output.add(found, wanted)
        verdict["cosine"] = min((output.cosine() for output in likeness), default=1.0)
        verdict["problem"] = next((problem for problem in (output.problem() for output in likeness) if problem), None)
    except Exception as error:
        # Whatever the runtime raises says why the release cannot work here: that is the answer to this question.
        verdict["problem"] = "%s: %s" % (type(error).__name__, error)
    verdict.update(healthy=verdict["problem"] is None, peak_rss_bytes=peak_rss_bytes())
    print(json.dumps(verdict))
    return 0 if verdict["healthy"] else 1


def bench_alone(seconds: float) -> int:
    """What a person or a script without edgedeploy can have of `bench`: times in milliseconds, as JSON."""
    said: Message = {"ok": False, "problem": None}
    try:
        release = Release()
        import_ns, load_ns = release.load()
        loop = Loop(release, None, {})
        gc.collect()
        gc.disable()
        first_ns = loop.timed_ns()
        loop.until("warm-up", 1, min(BENCH_WARMUP_S, seconds), BENCH_MAX_SAMPLES, seconds)
        times_ns = sorted(loop.until("steady", 1, seconds, BENCH_MAX_SAMPLES, seconds))
        n = len(times_ns)
        p90_ns = times_ns[-(-9 * n // 10) - 1] if n >= P90_SAMPLES else None
        said.update(
            ok=True,
            n=n,
            import_ms=import_ns / 1e6,
            load_ms=load_ns / 1e6,
            first_ms=first_ns / 1e6,
            min_ms=times_ns[0] / 1e6,
            p50_ms=(times_ns[(n - 1) // 2] + times_ns[n // 2]) / 2e6,
            p90_ms=None if p90_ns is None else p90_ns / 1e6,
            max_ms=times_ns[-1] / 1e6,
        )
    except Exception as error:
        said["problem"] = "%s: %s" % (type(error).__name__, error)
    said["peak_rss_bytes"] = peak_rss_bytes()
    print(json.dumps(said))
    return 0 if said["ok"] else 1


def seconds_of(word: str) -> Optional[float]:
    """A duration; None when it is none, or too long to be meant."""
    try:
        seconds = float(word)
    except ValueError:
        return None
    return seconds if 0 < seconds <= BENCH_MAX_S else None


class Likeness:
    """How like its golden values one output is, over all golden samples."""

    def __init__(self, declared: Message) -> None:
        self.name = declared["name"]
        self.shape = declared["shape"]
        self.mistake: Optional[str] = None
        self.product = self.squared = self.kept_squared = 0.0
        self.equal = self.elements = 0
        self.whole = False

    def add(self, found: Any, kept: Any) -> None:
        import numpy

        if found.dtype != kept.dtype:
            self.mistake = "output %s is of type %s, golden is %s" % (self.name, found.dtype, kept.dtype)
            return
        if found.shape != kept.shape:
            # A dimension that depends on the values, as the number of boxes that are left, may differ.
            if not self.may_differ(found.shape, kept.shape):
                self.mistake = "output %s has shape %s, golden is %s" % (self.name, found.shape, kept.shape)
            return
        if found.dtype.kind not in NUMERIC:
            return
        self.whole = found.dtype.kind != "f"
        a, b = found.astype(numpy.float64).ravel(), kept.astype(numpy.float64).ravel()
        finite = numpy.isfinite(b)
        if not numpy.isfinite(a[finite]).all():
            self.mistake = "output %s is not finite where golden is" % self.name
            return
        finite &= numpy.isfinite(a)
        self.equal += int((a == b).sum())
        self.elements += a.size
        a, b = a[finite], b[finite]
        self.product += float(a @ b)
        self.squared += float(a @ a)
        self.kept_squared += float(b @ b)

    def may_differ(self, found: Sequence[int], kept: Sequence[int]) -> bool:
        fixed = [isinstance(extent, int) for extent in self.shape]
        return len(found) == len(kept) == len(fixed) and all(
            a == b or not is_fixed for a, b, is_fixed in zip(found, kept, fixed)
        )

    def cosine(self) -> float:
        if self.equal == self.elements:
            return 1.0
        norm = (self.squared * self.kept_squared) ** 0.5
        return self.product / norm if norm else 0.0

    def problem(self) -> Optional[str]:
        if self.mistake or self.cosine() >= HEALTHY_COSINE:
            return self.mistake
        if self.whole and self.equal >= HEALTHY_EQUAL_SHARE * self.elements:
            return None
        return "output %s is not the golden one: cosine %.4f, at least %.2f is expected" % (
            self.name,
            self.cosine(),
            HEALTHY_COSINE,
        )


def main(words: Sequence[str]) -> int:
    if words == ["check"]:
        return check()
    if len(words) == 3 and list(words[:2]) == ["bench", "--seconds"]:
        seconds = seconds_of(words[2])
        if seconds is not None:
            return bench_alone(seconds)
    if words == ["serve"]:
        # The protocol gets the real standard input and output. A library that reads finds nothing, and what it prints
        # goes to standard error.
        source, sink = os.fdopen(os.dup(0), "rb", 1 << 16), os.fdopen(os.dup(1), "wb", 1 << 16)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        return serve(source, sink)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
