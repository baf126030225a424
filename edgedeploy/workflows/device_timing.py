"""Speed on a device that has a release: two models timed there in turn."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Sequence

from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError, UnsupportedError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.inference.session import Feed
from edgedeploy.measure.instruction_counts import count_inferences, load_model
from edgedeploy.measure.protocol import Conversation, conversation
from edgedeploy.metrics.model_comparison import ResultFailedError
from edgedeploy.optimize.guard.host_timing import TimedPairs, time_figure
from edgedeploy.values.bundle import Release
from edgedeploy.values.speed import SpeedFigure

_PAIRS = 15
"""Of a series: enough for a 95 % interval that leaves out the three most extreme ratios on either side."""
_BURST_S = 0.02
"""Inferences that are timed together: shorter ones show the clock and the scheduler."""
_MOST_PER_BURST = 64
_LIMIT_S = 240.0
"""Of a series. A model that takes longer is measured by `bench` only."""
_UNCOUNTED = 2
"""Inferences before each burst, as `count_inferences` makes them."""


class DeviceTiming:
    """Compares the time that an inference takes on a device, by the device's own clock and with one thread.

    The runner of a release that is there runs both models, in two processes: what slows the device down for a while
    slows both.
    """

    def __init__(self, connection: Connection, release: Release, progress: Progress = SILENT) -> None:
        """
        Args:
            release: whose runtime takes both models as files.

        Raises:
            UnsupportedError: the device's clock says nothing of its speed, since it is emulated; or the release has no
                runtime that takes other models.
        """
        if connection.emulated:
            raise UnsupportedError(f"{connection.address} is emulated", why="its clock says nothing of a real board")
        backend = release.manifest.runtime.backend
        if backend not in ("onnxruntime", "tflite"):
            raise UnsupportedError(
                f"the release runs in {backend}", why="it runs no model but the one it was built for"
            )
        self._connection, self._release, self._progress = connection, release, progress

    def compare(self, source: bytes, candidate: bytes, feeds: Sequence[Feed]) -> SpeedFigure:
        """Time both models on the same feeds, in turn: source, candidate, candidate, source, and so on.

        What seems slower is measured once more, and called slower if it is again; the figures are those of the last
        series.

        Raises:
            ResultFailedError: the candidate does not load or run there.
            UnsupportedError: an inference takes too long for a series.
            DeviceError, UnreachableError: the source does not load or run there, or the connection was lost.
            ValueError: there is no feed.
        """
        if not feeds:
            raise ValueError("speed is compared on at least one feed")
        self._progress.step(f"comparing the speed with the float model's on {self._connection.address}")
        return time_figure(
            lambda: self._series(source, candidate, feeds),
            currency="device time",
            where=f"{self._connection.address}, 1 thread",
        )

    def _series(self, source: bytes, candidate: bytes, feeds: Sequence[Feed]) -> TimedPairs:
        pairs = TimedPairs([], [])
        with contextlib.ExitStack() as stack:
            source_talk, candidate_talk = (
                stack.enter_context(conversation(self._connection, self._release)) for _ in range(2)
            )
            load_model(source_talk, source)
            seconds = _burst(source_talk, feeds, len(feeds))
            try:
                load_model(candidate_talk, candidate)
                seconds = max(seconds, _burst(candidate_talk, feeds, len(feeds)))
            except DeviceError as error:
                raise ResultFailedError(f"on {self._connection.address}: {error.why or error.what}") from error
            count = _per_burst(seconds, len(feeds))
            if 2 * _PAIRS * (count + _UNCOUNTED) * seconds > _LIMIT_S:
                raise UnsupportedError(f"an inference takes {seconds:.1f} s on {self._connection.address}")
            both = [(source_talk, pairs.source_s), (candidate_talk, pairs.candidate_s)]
            begun = time.monotonic()
            for pair in range(_PAIRS):
                for talk, found_s in both if pair % 2 == 0 else reversed(both):
                    found_s.append(_burst(talk, feeds, count))
                self._progress.advance(pair + 1, _PAIRS, "pairs")
                if time.monotonic() - begun > 2 * _LIMIT_S:
                    raise DeviceError(f"{self._connection.address} takes too long to compare two models")
        return pairs


def _burst(talk: Conversation, feeds: Sequence[Feed], count: int) -> float:
    """Return the median seconds of `count` inferences."""
    return statistics.median(count_inferences(talk, feeds, samples=count)) / 1e9


def _per_burst(seconds: float, feeds: int) -> int:
    """Return how many inferences make a burst: all feeds in turn, as often as it takes to be long enough."""
    if seconds >= _BURST_S:
        return 1
    return min(_MOST_PER_BURST, feeds * math.ceil(_BURST_S / (seconds * feeds)))
