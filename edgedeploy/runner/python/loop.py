"""The timed loop, and the request that runs it."""

from __future__ import annotations

import array
import gc
import time
from typing import Dict, List, Optional, Set

from .channel import Arrays, Channel, Message, RequestError
from .device import Watch
from .release import Release


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
        begun = reported = now = due = time.monotonic()
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
            if now - reported >= 1.0:
                reported = now
                self.report(phase, len(times_ns), now - begun)
        return times_ns

    def report(self, phase: str, samples: int = 0, elapsed_s: float = 0.0) -> None:
        if self.channel is None:
            return
        message: Message = {"is": "progress", "phase": phase, "samples": samples, "elapsed_s": round(elapsed_s, 3)}
        if self.watch is not None:
            # Not between two inferences that are timed.
            message["state"] = self.watch.state(asks=phase in ("before", "after"))
        self.channel.send(message)


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
        loop.report("before")
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
        loop.report("after", len(samples_ns), elapsed_s)
    channel.send(
        {"is": "bench", "first_ns": first_ns, "elapsed_s": elapsed_s},
        [
            (name, numpy.array(times, dtype=numpy.int64))
            for name, times in (("warmup_ns", warmup_ns), ("samples_ns", samples_ns))
        ],
    )
