"""Speed on this machine: two models timed in turn."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.inference.formats import format_of
from edgedeploy.inference.onnxruntime import HostSession, host_isa
from edgedeploy.inference.session import Feed, Session
from edgedeploy.metrics.model_comparison import ResultFailedError
from edgedeploy.stats.paired_ratio import median_ratio
from edgedeploy.values.ratio import RatioFigure
from edgedeploy.values.speed import SpeedFigure

TOLERANCE = 0.03
"""How far above 1 a ratio must lie, with its whole interval, to be called slower. That far apart were two sessions of
the same model: where the buffers of a session happen to lie counts (Mytkowicz, Diwan, Hauswirth and Sweeney, Producing
Wrong Data Without Doing Anything Obviously Wrong!, ASPLOS 2009)."""

_LEAST_SAMPLE_S = 0.002
"""A sample shorter than that runs its feeds several times: reading the clock and filling the caches anew would show."""
_LEAST_PAIRS, _MOST_PAIRS = 9, 51
_BUDGET_S = 1.0
"""Of one round, once both models are loaded and `_LEAST_PAIRS` are measured."""


class TimedPairs(Struct, frozen=True):
    """Seconds per inference of two models, each pair measured one right after the other."""

    source_s: list[float]
    candidate_s: list[float]

    def ratio(self) -> RatioFigure:
        """Return the median ratio of candidate to source, with its confidence interval."""
        return median_ratio(self.source_s, self.candidate_s)


def time_figure(
    measure: Callable[[], TimedPairs], *, currency: Literal["host time", "device time"], where: str
) -> SpeedFigure:
    """Measure pairs, and once more where the candidate seems slower: it is called so if it is again. The figures are
    those of the last measurement.

    Args:
        where: the machine and its settings, in words.
    """
    pairs = measure()
    if _is_slower(pairs.ratio()):
        pairs = measure()
    ratio = pairs.ratio()
    return SpeedFigure(
        currency=currency,
        unit="ms",
        source=1000 * statistics.median(pairs.source_s),
        result=1000 * statistics.median(pairs.candidate_s),
        ratio=ratio.value,
        low=ratio.low,
        high=ratio.high,
        slower=_is_slower(ratio),
        limit=1 + TOLERANCE,
        samples=ratio.pairs,
        where=where,
    )


Measure = Callable[[bytes, bytes, Sequence[Feed]], TimedPairs]
"""Times a source and a candidate, both serialized, on the same feeds."""


def measure_pairs(source: bytes, candidate: bytes, feeds: Sequence[Feed]) -> TimedPairs:
    """Time two models in turn, in two rounds, each with both models loaded anew, now the one first and now the other.

    Raises:
        ResultFailedError: the candidate does not load, or run on a feed.
        EdgedeployError: the source does not.
    """
    pairs = TimedPairs([], [])
    # The first session of a process has a place in memory that no later one has.
    first = _open(source)
    source_session = _ready(source, feeds)
    candidate_session = _ready_candidate(candidate, feeds)
    _round(pairs, source_session, candidate_session, feeds)
    del source_session, candidate_session
    candidate_session = _ready_candidate(candidate, feeds)
    source_session = _ready(source, feeds)
    _round(pairs, source_session, candidate_session, feeds)
    del first
    return pairs


class HostTiming:
    """Compares the time that onnxruntime (or ai-edge-litert) needs on this machine, as it comes, with one thread.

    What is taken is the processor time of the thread that runs the model. With one thread it is the time of the
    computation itself, without the waits while other programs have the processor.
    """

    def __init__(self, measure: Measure = measure_pairs) -> None:
        self._measure = measure

    def compare(self, source: bytes, candidate: bytes, feeds: Sequence[Feed]) -> SpeedFigure:
        """Time both models on the same feeds, in turn: source, candidate, candidate, source, and so on.

        There are two rounds, each with both models loaded anew, now the one first and now the other: so that neither
        always has the better place in memory. What seems slower is measured once more, and called slower if it is
        again; the figures are those of the last measurement.

        Raises:
            ResultFailedError: the candidate does not load, or run on a feed.
            InvalidFileError, UnsupportedError, HostError: the source does not load.
            DatasetError, UnsupportedError: the source does not run on a feed.
            ValueError: there is no feed.
        """
        if not feeds:
            raise ValueError("speed is compared on at least one feed")
        return time_figure(
            lambda: self._measure(source, candidate, feeds),
            currency="host time",
            where=f"this machine: {host_isa()}, 1 thread",
        )


def _round(pairs: TimedPairs, source: Session, candidate: Session, feeds: Sequence[Feed]) -> None:
    quicker_s = min(_seconds(session, feeds) for session in (source, candidate)) / len(feeds)
    count = inferences_per_sample(quicker_s, len(feeds))
    both = [(source, pairs.source_s), (candidate, pairs.candidate_s)]
    begun = time.monotonic()
    was_collecting = gc.isenabled()
    # As timeit does: a collection of garbage in the middle of an inference is not the model's time.
    gc.disable()
    try:
        for pair in range(_MOST_PAIRS):
            if pair >= _LEAST_PAIRS and time.monotonic() - begun >= _BUDGET_S:
                break
            chosen = [feeds[(pair + turn) % len(feeds)] for turn in range(count)]
            for session, found_s in both if pair % 2 == 0 else reversed(both):
                found_s.append(_seconds(session, chosen) / count)
    finally:
        if was_collecting:
            gc.enable()


def _seconds(session: Session, feeds: Sequence[Feed]) -> float:
    begun_ns = time.thread_time_ns()
    for feed in feeds:
        session.run(feed)
    # A clock that has not moved on would make a ratio infinite.
    return max(1, time.thread_time_ns() - begun_ns) / 1e9


def inferences_per_sample(seconds: float, feeds: int) -> int:
    """Return how many inferences make a sample: one, or as many rounds of all feeds as it takes to be long enough."""
    if seconds >= _LEAST_SAMPLE_S:
        return 1
    return feeds * math.ceil(_LEAST_SAMPLE_S / (seconds * feeds))


def _is_slower(ratio: RatioFigure) -> bool:
    return ratio.low > 1 + TOLERANCE


def _ready(content: bytes, feeds: Sequence[Feed]) -> Session:
    session = _open(content)
    for feed in feeds:  # the first run of each shape allocates
        session.run(feed)
    return session


def _ready_candidate(content: bytes, feeds: Sequence[Feed]) -> Session:
    try:
        return _ready(content, feeds)
    except EdgedeployError as error:
        raise ResultFailedError(error.why or error.what) from error


def _open(content: bytes) -> Session:
    if format_of(content[:8]) == "tflite":
        from edgedeploy.inference.litert import TfliteSession

        return TfliteSession(content, exact=False, threads=1)
    return HostSession(content, exact=False, threads=1)
