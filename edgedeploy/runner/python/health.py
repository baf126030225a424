"""Run a release without a host: `check` and `bench`, each with one line of JSON as its answer."""

from __future__ import annotations

import gc
import json
from typing import Any, Optional, Sequence

from .channel import NUMERIC, Message
from .device import peak_rss_bytes
from .loop import Loop
from .release import Release

# A health check asks whether this is the same model at work, not how good it is; that is `edgedeploy test`. Integer
# kernels differ between instruction sets: where 8-bit products saturate (x86-64 without VNNI) a sound model may lose a
# tenth of its signal, which is a cosine of 1 / sqrt(1.1) = 0.95. One that is broken answers something else altogether.
HEALTHY_COSINE = 0.9
# Of whole numbers (classes, tokens) and of text, where the cosine means nothing.
HEALTHY_EQUAL_SHARE = 0.5
# What a 90th percentile takes: MLPerf's bound for early stopping, see stats/latency.py in edgedeploy.
P90_SAMPLES = 64
BENCH_WARMUP_S = 0.5
BENCH_MAX_SAMPLES = 1000000
BENCH_MAX_S = 3600.0


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
    answer: Message = {"ok": False, "problem": None}
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
        answer.update(
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
        answer["problem"] = "%s: %s" % (type(error).__name__, error)
    answer["peak_rss_bytes"] = peak_rss_bytes()
    print(json.dumps(answer))
    return 0 if answer["ok"] else 1


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
        self.whole = self.text = False

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
        if found.dtype.kind == "O":
            self.whole = self.text = True
            self.equal += int((found == kept).sum())
            self.elements += found.size
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
        if self.text:
            return self.equal / self.elements
        norm = (self.squared * self.kept_squared) ** 0.5
        return self.product / norm if norm else 0.0

    def problem(self) -> Optional[str]:
        if self.mistake or self.cosine() >= HEALTHY_COSINE:
            return self.mistake
        if self.whole and self.equal >= HEALTHY_EQUAL_SHARE * self.elements:
            return None
        if self.text:
            return "output %s is not the golden one: %.0f %% of its texts are the same" % (
                self.name,
                100.0 * self.cosine(),
            )
        return "output %s is not the golden one: cosine %.4f, at least %.2f is expected" % (
            self.name,
            self.cosine(),
            HEALTHY_COSINE,
        )
