"""Runs a release's model on the device it lies on. Sent with bundles; needs Python, numpy and the engine beside it.

    run check       load the model, run the golden inputs, say in one line of JSON whether it is healthy; exit 0 or 1
    run serve       answer requests on standard input and output until it ends
    run bench --seconds S
                    time the golden inputs for so long, say in one line of JSON what was seen; exit 0 or 1

A message is one line of JSON, followed by the raw bytes of the arrays that its "arrays" lists (name, dtype, shape),
little-endian, in C order, back to back. Text ("str") has its size in "text_bytes": the length in bytes of each text as
uint32, then all of them in UTF-8. Nothing is ever unpickled. Requests and their answers:

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

An answer has "is": the request's name, or "progress", or "error" with "what". This is written for Python 3.9, which
is what boards have. What loads and runs models is `engine.py`, of which each runtime has one of its own: a class
`Session` and a function `versions`.

In a release these modules are a package, so that Python keeps their bytecode: a file that is started as a program is
compiled anew at each start. On an emulated Raspberry Pi 3, `run check` of a release executes 795 million instructions
in place of 826 with one file of 800 lines; the first time, before there is bytecode, 2,594 in place of 2,593.
"""

from __future__ import annotations

import os
import sys
import time
from typing import IO, Sequence

from .channel import Arrays, Channel, FramingError, Message, RequestError
from .device import bind, conditions, forget_files, memory_now, peak_rss_bytes
from .health import bench_alone, check, seconds_of
from .loop import bench
from .release import Release

PROTOCOL = 1
ABILITIES = ("affinity", "every_ms", "watch", "cold", "text")


def answer(release: Release, channel: Channel, request: Message, arrays: Arrays) -> bool:
    """Answer one request. False ends the conversation."""
    do = request.get("do")
    if do == "hello":
        described = {} if request.get("brief") else {"conditions": conditions(release.runtime)}
        channel.send({"is": "hello", "protocol": PROTOCOL, "can": ABILITIES, **described})
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
