"""How long a release is timed."""

from __future__ import annotations

from msgspec import Struct, structs

from edgedeploy.foundation.errors import UnknownNameError
from edgedeploy.values.measurement import BenchSettings


class Durations(Struct, frozen=True, kw_only=True):
    """How long to measure: until both minima are reached, unless a maximum is reached before."""

    warmup: int
    warmup_s: float
    """So that the clock governor has seen the load: on-demand governors decide in tens of milliseconds."""
    min_samples: int
    min_s: float
    max_s: float
    max_samples: int = 1_000_000
    """8 MB on the way back. A model of less than 60 µs ends the `standard` profile before its time."""


# `smoke` and `standard` have the bounds of MLPerf Mobile's «rapid» and «normal» runs
# (https://github.com/mlcommons/mobile_app_open/blob/master/flutter/assets/tasks.pbtxt), `long` the duration of MLPerf
# Inference's runs (https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc, section 3).
PROFILES = {
    "smoke": Durations(warmup=5, warmup_s=0.5, min_samples=64, min_s=6.0, max_s=60.0),
    "standard": Durations(warmup=20, warmup_s=2.0, min_samples=1024, min_s=60.0, max_s=600.0),
    "long": Durations(warmup=50, warmup_s=10.0, min_samples=1024, min_s=600.0, max_s=1800.0),
}
EMULATED = Durations(warmup=1, warmup_s=0.0, min_samples=64, min_s=0.0, max_s=15.0)
"""For every profile: an emulated board's times are no latency, however long they are taken. The run shows that the
release works, its outputs and its memory."""
COUNTING = Durations(warmup=3, warmup_s=0.0, min_samples=32, min_s=0.0, max_s=10.0)
"""Counts of the same work differ in the fourth digit: dozens of them are more than enough. A second of such a board's
clock is 10^9 instructions, and takes several of this machine's."""


def profile_bounds(name: str, settings: BenchSettings) -> Durations:
    """Return the bounds of a profile, with the warm-up that `settings` asks for.

    Raises:
        UnknownNameError: there is no such profile.
    """
    if name not in PROFILES:
        raise UnknownNameError(f"there is no profile {name!r}", hint=f"choose one of: {', '.join(PROFILES)}")
    return _warmed_up(PROFILES[name], settings)


def bounds_of(seconds: float, settings: BenchSettings) -> Durations:
    """Return bounds of exactly `seconds`. A 90th percentile needs 64 samples; with fewer it is left out."""
    bounds = Durations(warmup=1, warmup_s=min(0.5, seconds), min_samples=64, min_s=seconds, max_s=seconds)
    return _warmed_up(bounds, settings)


def _warmed_up(bounds: Durations, settings: BenchSettings) -> Durations:
    return structs.replace(
        bounds,
        warmup=bounds.warmup if settings.warmup_runs is None else settings.warmup_runs,
        warmup_s=bounds.warmup_s if settings.warmup_s is None else settings.warmup_s,
    )


def shortfall(bounds: Durations, samples: int, elapsed_s: float) -> tuple[str, ...]:
    """Return notes on a run that a maximum ended before both minima were reached."""
    notes = []
    if samples < bounds.min_samples:
        notes.append(f"ended after {elapsed_s:.0f} s with {samples} of {bounds.min_samples:,} samples")
    if elapsed_s < bounds.min_s:
        notes.append(f"ended with {samples:,} samples after {elapsed_s:.0f} of {bounds.min_s:.0f} s")
    return tuple(notes)
