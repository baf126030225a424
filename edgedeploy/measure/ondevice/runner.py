"""Runs a release's model on the device it lies on. Sent with every bundle; needs Python, numpy and onnxruntime.

    run check       load the model, run the golden inputs, say in one line of JSON whether it is healthy; exit 0 or 1
    run serve       answer requests on standard input and output until it ends

A message is one line of JSON, followed by the raw bytes of the arrays that its "arrays" lists (name, dtype, shape),
little-endian, in C order, back to back. Nothing is ever unpickled. Requests and their answers:

    {"do": "hello"}                       → "conditions": what this device is, "protocol": 1
    {"do": "load", "threads": N|null}     → "import_ms", "load_ms"
    {"do": "infer"} + arrays              → "elapsed_ns" + arrays: the outputs
    {"do": "bench", "warmup": N, "min_samples": N, "min_s": S, "max_s": S}
                                          → "progress" messages, then "first_ns", "warmup_ns", "samples_ns"
    {"do": "golden", "index": I}          → arrays "output:NAME" as kept and "found:NAME" as computed now
    {"do": "memory"}                      → "peak_rss_bytes"
    {"do": "quit"}

An answer has "is": the request's name, or "progress", or "error" with "what".
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from typing import IO, Any, Dict, Iterable, List, Optional, Sequence, Tuple

Message = Dict[str, Any]
Arrays = Dict[str, Any]  # numpy is imported with the runtime, not before: its time is part of `import_ms`

HERE = os.path.dirname(os.path.abspath(__file__))
PROTOCOL = 1
LINE_LIMIT_BYTES = 1 << 20
# A health check asks whether this is the same model at work, not how good it is: integer kernels differ between
# instruction sets by a few steps of the scale, while a model that is broken answers something else altogether.
HEALTHY_COSINE = 0.98


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

    def load(self, threads: Optional[int] = None) -> Tuple[int, int]:
        """Import the runtime and load the model, each timed, in nanoseconds."""
        begun = time.perf_counter_ns()
        import numpy
        import onnxruntime

        imported = time.perf_counter_ns()
        self.session = None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Threads that spin between inferences disturb the measurement, and the application on the board.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.intra_op_num_threads = threads or os.cpu_count() or 1
        path = os.path.join(HERE, self.manifest["model_file"])
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.runtime = {"onnxruntime": onnxruntime.__version__, "numpy": numpy.__version__}
        return imported - begun, time.perf_counter_ns() - imported

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
        "os": os_name(),
        "memory_total_bytes": memory.get("MemTotal"),
        "memory_available_bytes": memory.get("MemAvailable"),
        "load_average_1min": load_average(),
        "temperature_c": temperature_c(),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
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


# Part numbers of Arm's cores: https://developer.arm.com/documentation, MIDR_EL1 in each core's reference manual;
# collected in https://github.com/util-linux/util-linux/blob/master/sys-utils/lscpu-arm.c
ARM_CORES = {
    "0xb76": "ARM1176JZF-S",
    "0xc07": "Cortex-A7",
    "0xc0f": "Cortex-A15",
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
}


def cpu() -> Tuple[str, List[str]]:
    """Name and features of the first processor in /proc/cpuinfo."""
    facts: Dict[str, str] = {}
    for line in (read("/proc/cpuinfo") or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            facts.setdefault(key.strip().lower(), value.strip())
    features = (facts.get("features") or facts.get("flags") or "").split()
    if "model name" in facts and facts.get("cpu part") is None:
        return facts["model name"], features
    part = facts.get("cpu part", "")
    if facts.get("cpu implementer") == "0x41":
        core = ARM_CORES.get(part, "core " + part)
        return "Arm %s r%sp%s" % (
            core,
            facts.get("cpu variant", "?").replace("0x", ""),
            facts.get("cpu revision", "?"),
        ), features
    if part:
        return "implementer %s part %s" % (facts.get("cpu implementer", "?"), part), features
    return platform.processor() or "unknown", features


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


def temperature_c() -> Optional[float]:
    """The hottest thermal zone, in degrees Celsius; the kernel gives thousandths."""
    found = []
    try:
        zones = [name for name in os.listdir("/sys/class/thermal") if name.startswith("thermal_zone")]
    except OSError:
        return None
    for zone in zones:
        text = read("/sys/class/thermal/%s/temp" % zone)
        if text and text.lstrip("-").isdigit():
            found.append(int(text) / 1000.0)
    return max(found) if found else None


def peak_rss_bytes() -> int:
    """Largest resident set of this process so far: Linux counts it in KiB (getrusage(2))."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


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
            message: Message = dict(json.loads(line.decode("utf-8")))
        except (ValueError, TypeError) as error:
            raise FramingError("this is not a message: %s" % error)
        arrays: Arrays = {}
        for entry in message.get("arrays", ()):
            import numpy

            dtype = numpy.dtype(str(entry["dtype"])).newbyteorder("<")
            if dtype.hasobject:
                raise FramingError("arrays of objects are not taken")
            shape = [int(extent) for extent in entry["shape"]]
            count = 1
            for extent in shape:
                count *= extent
            content = self.source.read(count * dtype.itemsize)
            if len(content) != count * dtype.itemsize:
                raise EOFError("the request ends in the middle of an array")
            array = numpy.frombuffer(content, dtype=dtype).reshape(shape)
            arrays[str(entry["name"])] = array.astype(dtype.newbyteorder("="), copy=False)
        return message, arrays

    def send(self, message: Message, arrays: Iterable[Tuple[str, Any]] = ()) -> None:
        listed, contents = [], []
        for name, array in arrays:
            import numpy

            array = numpy.ascontiguousarray(array)
            if array.dtype.hasobject:
                raise RequestError("output %r is not numeric" % name)
            listed.append({"name": name, "dtype": array.dtype.name, "shape": list(array.shape)})
            contents.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        if listed:
            message = dict(message, arrays=listed)
        self.sink.write(json.dumps(message).encode("utf-8") + b"\n")
        for content in contents:
            self.sink.write(content)
        self.sink.flush()


def bench(release: Release, channel: Channel, request: Message) -> None:
    """The timed loop. The first inference, the warm-up and the steady state are kept apart."""
    warmup = int(request.get("warmup", 5))
    min_samples = int(request["min_samples"])
    min_s, max_s = float(request["min_s"]), float(request["max_s"])
    feeds = [release.golden(index)[0] for index in range(release.manifest["golden_samples"])]
    if not feeds:
        raise RequestError("the release has no golden samples")

    def timed(index: int) -> int:
        feed = feeds[index % len(feeds)]
        begun = time.perf_counter_ns()
        release.infer(feed)
        return time.perf_counter_ns() - begun

    first_ns = timed(0)
    warmup_ns = [timed(1 + index) for index in range(warmup)]
    samples_ns: List[int] = []
    begun = told = time.monotonic()
    while True:
        passed = time.monotonic() - begun
        enough = len(samples_ns) >= min_samples and passed >= min_s
        if enough or (passed >= max_s and samples_ns):
            break
        samples_ns.append(timed(len(samples_ns)))
        if time.monotonic() - told >= 1.0:
            told = time.monotonic()
            channel.send({"is": "progress", "samples": len(samples_ns), "elapsed_s": round(told - begun, 3)})
    channel.send({"is": "bench", "first_ns": first_ns, "warmup_ns": warmup_ns, "samples_ns": samples_ns})


def answer(release: Release, channel: Channel, request: Message, arrays: Arrays) -> bool:
    """Answer one request. False ends the conversation."""
    do = request.get("do")
    if do == "hello":
        channel.send({"is": "hello", "protocol": PROTOCOL, "conditions": conditions(release.runtime)})
    elif do == "load":
        import_ns, load_ns = release.load(request.get("threads"))
        channel.send({"is": "load", "import_ms": import_ns / 1e6, "load_ms": load_ns / 1e6})
    elif do == "infer":
        begun = time.perf_counter_ns()
        outputs = release.infer(arrays)
        elapsed_ns = time.perf_counter_ns() - begun
        channel.send({"is": "infer", "elapsed_ns": elapsed_ns}, list(zip(release.outputs, outputs)))
    elif do == "bench":
        bench(release, channel, request)
    elif do == "golden":
        feed, kept = release.golden(int(request["index"]))
        found = release.infer(feed)
        named = [("output:" + name, array) for name, array in zip(release.outputs, kept)]
        named += [("found:" + name, array) for name, array in zip(release.outputs, found)]
        channel.send({"is": "golden"}, named)
    elif do == "memory":
        channel.send({"is": "memory", "peak_rss_bytes": peak_rss_bytes()})
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
    import numpy

    release = Release()
    import_ns, load_ns = release.load()
    count = release.manifest["golden_samples"]
    product = squared = kept_squared = 0.0
    problem = None
    for index in range(count):
        feed, kept = release.golden(index)
        for name, found, wanted in zip(release.outputs, release.infer(feed), kept):
            if found.shape != wanted.shape:
                problem = "output %s has shape %s, golden is %s" % (name, found.shape, wanted.shape)
                break
            a, b = found.astype(numpy.float64).ravel(), wanted.astype(numpy.float64).ravel()
            if not numpy.isfinite(a).all() and numpy.isfinite(b).all():
                problem = "output %s is not finite" % name
                break
            product, squared, kept_squared = product + float(a @ b), squared + float(a @ a), kept_squared + float(b @ b)
    norm = (squared * kept_squared) ** 0.5
    cosine = product / norm if norm else float(squared == kept_squared)
    if problem is None and not cosine >= HEALTHY_COSINE:
        problem = "outputs are not the golden ones: cosine %.4f, at least %.2f is expected" % (cosine, HEALTHY_COSINE)
    print(
        json.dumps(
            {
                "healthy": problem is None,
                "problem": problem,
                "golden_samples": count,
                "cosine": cosine,
                "load_ms": load_ns / 1e6,
                "import_ms": import_ns / 1e6,
                "peak_rss_bytes": peak_rss_bytes(),
            }
        )
    )
    return 1 if problem else 0


def main(words: Sequence[str]) -> int:
    if words == ["check"]:
        return check()
    if words == ["serve"]:
        # The protocol gets the real standard output; whatever a library prints goes to standard error.
        sink = os.fdopen(os.dup(1), "wb", 1 << 16)
        os.dup2(2, 1)
        return serve(os.fdopen(os.dup(0), "rb", 1 << 16), sink)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
