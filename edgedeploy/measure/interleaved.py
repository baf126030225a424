"""One release against another on the same device, in turn: what slows the device down for a while slows both."""

from __future__ import annotations

import statistics

from msgspec import structs

from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError, UnsupportedError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.measure.bench import DEFAULT, bench
from edgedeploy.measure.cooldown import cool_down
from edgedeploy.measure.protocol import conversation
from edgedeploy.stats.paired_ratio import LEAST_PAIRS, median_ratio
from edgedeploy.values.baseline import Thresholds
from edgedeploy.values.bundle import Release
from edgedeploy.values.contract import Outcome
from edgedeploy.values.interleaved import Interleaved
from edgedeploy.values.measurement import BenchSettings
from edgedeploy.values.ratio import RatioFigure

ROUNDS = 8
COUNTED_ROUNDS = 2
"""Counts do not differ between runs: the second pair is there to show it."""

_Pairs = list[tuple[float, float]]


def bench_against(
    connection: Connection,
    before: Release,
    after: Release,
    *,
    rounds: int | None = None,
    profile: str = "smoke",
    settings: BenchSettings = DEFAULT,
    threshold: float | None = None,
    progress: Progress = SILENT,
) -> Interleaved:
    """Measure `before`, `after`, `before`, `after` … and judge whether `after` is slower, or more work.

    It breaks when it grew by more than the larger of `threshold` and the noise, which is how far the confidence
    interval reaches below the effect. What breaks is measured once more, and breaks only if it does so again: of a
    hundred clean comparisons with a chance of one in forty each, that leaves one in sixteen hundred.

    Args:
        before, after: releases of one model on this device.
        rounds: pairs in a series; 8 of times, 2 of counts by default.
        profile, settings: of each run, as `bench` takes them; its cool-down is before each run but the first.
        threshold: relative; by default that of `Thresholds` for the kind of figure.

    Raises:
        UnsupportedError: the board is emulated and does not count: its times say nothing.
        DeviceError, UnreachableError: as `bench`.
        ValueError: fewer than `LEAST_PAIRS` rounds of times were asked for, or none.
    """
    counted = connection.counts_instructions
    rounds = _checked_rounds(connection, rounds)
    if threshold is None:
        threshold = Thresholds().instructions if counted else Thresholds().latency
    runs = Runs(connection, profile, settings, progress)
    pairs = runs.series(before, after, rounds)
    breaks = verified = _grew(effect_of(pairs), threshold)
    if verified:
        progress.note(f"{after.id} seems worse: measured once more")
        again = runs.series(before, after, rounds)
        breaks = _grew(effect_of(again), threshold)
        pairs += again
    effect = effect_of(pairs)
    return Interleaved(
        device=connection.address,
        name=after.name,
        before=before.id,
        after=after.id,
        kind="counted" if counted else "device",
        pairs=tuple(pairs),
        effect=effect,
        threshold=threshold,
        verified=verified,
        outcome=Outcome.BREAKS if breaks else Outcome.HOLDS,
        reason=_reason(effect, threshold, verified=verified, breaks=breaks),
    )


def _checked_rounds(connection: Connection, rounds: int | None) -> int:
    """Return how many pairs a series has; the errors are those of `bench_against`."""
    counted = connection.counts_instructions
    if connection.emulated and not counted:
        raise UnsupportedError(
            f"{connection.address} is emulated: which of two releases is faster there says nothing of a real board",
            hint="make a board that counts instructions: edgedeploy board up NAME --target TARGET --count",
        )
    least, default = (1, COUNTED_ROUNDS) if counted else (LEAST_PAIRS, ROUNDS)
    if rounds is None:
        return default
    if rounds < least:
        raise ValueError(f"{rounds} rounds are too few: {least} are needed")
    return rounds


def effect_of(pairs: _Pairs) -> RatioFigure:
    """After / before: as `median_ratio`; of fewer pairs than that takes, the bounds are all that was seen."""
    before, after = zip(*pairs, strict=True)
    if len(pairs) >= LEAST_PAIRS:
        return median_ratio(before, after)
    ratios = [new / old for old, new in pairs]
    return RatioFigure(value=statistics.median(ratios), low=min(ratios), high=max(ratios), pairs=len(pairs))


def _grew(effect: RatioFigure, threshold: float) -> bool:
    return effect.value - 1 > max(threshold, effect.value - effect.low)


def _reason(effect: RatioFigure, threshold: float, *, verified: bool, breaks: bool) -> str:
    noise = effect.value - effect.low
    bound = f"threshold {threshold:.2%}" if threshold >= noise else f"noise {noise:.2%}, over the threshold"
    if breaks:
        return f"{bound}; measured twice"
    return f"{bound}; the first series broke, the second did not" if verified else bound


class Runs:
    """Measure releases on one device, each run as cool as the first if `settings` asks for that."""

    def __init__(self, connection: Connection, profile: str, settings: BenchSettings, progress: Progress) -> None:
        self._connection = connection
        self._profile = profile
        # Inferences are compared: how long the files take to read from the disk does not matter.
        self._settings = structs.replace(settings, cold_load=False)
        self._progress = progress
        self._begun_at_c: float | None = None

    def series(self, before: Release, after: Release, rounds: int) -> _Pairs:
        """Measure both releases in turn, `rounds` times."""
        pairs = []
        for number in range(rounds):
            self._progress.step(f"pair {number + 1} of {rounds}")
            pairs.append((self.figure(before), self.figure(after)))
        return pairs

    def figure(self, release: Release) -> float:
        """Measure the release once: its median instructions, or its median time in milliseconds.

        Raises:
            DeviceError: the device reports a figure that is not positive; or as `bench`.
        """
        if self._settings.cooldown_s is not None:
            with conversation(self._connection, release) as talk:
                self._begun_at_c = cool_down(talk, self._begun_at_c, self._settings.cooldown_s, self._progress)
        measured = bench(self._connection, release, profile=self._profile, settings=self._settings)
        if measured.count is not None:
            median = measured.count.per_inference
        else:
            assert measured.timing is not None
            median = measured.timing.summary.p50_ms
        if median <= 0:
            raise DeviceError(f"{self._connection.address} reports that an inference of {release.id} takes {median:g}")
        return median
