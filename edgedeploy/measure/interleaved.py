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
"""Of runs whose figures do not move: the second is there to show it."""

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
    """Measure `before`, `after`, `before`, `after` … and say whether `after` is slower, or more work.

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
    if connection.emulated and not counted:
        raise UnsupportedError(
            f"{connection.address} is emulated: which of two releases is faster there says nothing of a real board",
            hint="edgedeploy board up NAME --count: a board that counts instructions",
        )
    rounds = rounds if rounds is not None else COUNTED_ROUNDS if counted else ROUNDS
    if rounds < (1 if counted else LEAST_PAIRS):
        raise ValueError(f"{rounds} rounds are too few: {1 if counted else LEAST_PAIRS} are needed")
    if threshold is None:
        threshold = Thresholds().instructions if counted else Thresholds().latency
    runs = _Runs(connection, profile, settings, progress)
    pairs = runs.series(before, after, rounds)
    verified = _grew(effect_of(pairs), threshold)
    if verified:
        progress.note(f"{after.id} seems worse: measured once more")
        again = runs.series(before, after, rounds)
        breaks = _grew(effect_of(again), threshold)
        pairs += again
    else:
        breaks = False
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


class _Runs:
    """Runs on one device, each begun as cool as the first if `settings` asks for it."""

    def __init__(self, connection: Connection, profile: str, settings: BenchSettings, progress: Progress) -> None:
        self._connection = connection
        self._profile = profile
        # What is compared are inferences: how long it takes to read them from the disk is not looked at.
        self._settings = structs.replace(settings, cold_load=False)
        self._progress = progress
        self._begun_at_c: float | None = None

    def series(self, before: Release, after: Release, rounds: int) -> _Pairs:
        pairs = []
        for number in range(rounds):
            self._progress.step(f"pair {number + 1} of {rounds}")
            pairs.append((self._figure(before), self._figure(after)))
        return pairs

    def _figure(self, release: Release) -> float:
        if self._settings.cooldown_s is not None:
            with conversation(self._connection, release) as talk:
                self._begun_at_c = cool_down(talk, self._begun_at_c, self._settings.cooldown_s, self._progress)
        measured = bench(self._connection, release, profile=self._profile, settings=self._settings)
        if measured.count is not None:
            figure = measured.count.per_inference
        else:
            assert measured.timing is not None
            figure = measured.timing.summary.p50_ms
        if figure <= 0:
            raise DeviceError(f"{self._connection.address} says that an inference of {release.id} takes {figure:g}")
        return figure
