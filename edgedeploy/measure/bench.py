"""Timing a release on a device."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from msgspec import Struct, structs

from edgedeploy.agreement import AgreementAccumulator
from edgedeploy.device.connection import Connection
from edgedeploy.errors import DeviceError, EdgedeployError, UnknownNameError
from edgedeploy.measure.counting import instruction_count, instructions
from edgedeploy.measure.observation import observe
from edgedeploy.measure.protocol import Arrays, Conversation, conversation
from edgedeploy.measure.statistics import summary
from edgedeploy.progress import SILENT, Progress
from edgedeploy.target.load import load_target
from edgedeploy.target.roofline import least_latency_ms
from edgedeploy.values.bundle import Release
from edgedeploy.values.measurement import Measurement, Timing
from edgedeploy.values.quality import Agreement

_BRANCHING = frozenset({"if", "loop", "scan", "while", "call_once"})
"""With these, what is computed depends on the data."""


class Profile(Struct, frozen=True, kw_only=True):
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
    "smoke": Profile(warmup=5, warmup_s=0.5, min_samples=64, min_s=6.0, max_s=60.0),
    "standard": Profile(warmup=20, warmup_s=2.0, min_samples=1024, min_s=60.0, max_s=600.0),
    "long": Profile(warmup=50, warmup_s=10.0, min_samples=1024, min_s=600.0, max_s=1800.0),
}
_EMULATED = Profile(warmup=1, warmup_s=0.0, min_samples=64, min_s=0.0, max_s=15.0)
"""Whatever the profile: seconds of an emulated board are this machine's, and no number of them makes a latency. What
is wanted of it is that the release runs, its outputs and its memory."""
_COUNTING = Profile(warmup=3, warmup_s=0.0, min_samples=32, min_s=0.0, max_s=10.0)
"""Counts of the same work differ in the fourth digit: dozens of them are more than enough. A second of such a board's
clock is 10^9 instructions, and takes several of this machine's."""


def bench(
    connection: Connection,
    release: Release,
    *,
    profile: str = "standard",
    seconds: float | None = None,
    progress: Progress = SILENT,
) -> Measurement:
    """Load the release in a fresh process on the device, and time its inferences there on the golden inputs.

    On an emulated board (`connection.emulated`) the timing's clock is `"emulated"`: it is no latency, and the run is
    short whatever the profile. On one whose clock counts instructions, there is no timing but a count.

    Args:
        profile: `"smoke"` (64 samples and 6 s), `"standard"` (1,024 and 60 s) or `"long"` (1,024 and 600 s).
        seconds: measure for so long in place of a profile, however few samples that gives.

    Raises:
        UnknownNameError: there is no such profile.
        DeviceError: the runner fails, or the device sends what is not its protocol.
        UnsupportedError: the outputs are not of the golden ones' shape or not real numbers, so nothing can be compared.
        UnreachableError: the connection was lost.
    """
    if seconds is not None:
        profile = f"{seconds:g} s"
    elif profile not in PROFILES:
        raise UnknownNameError(f"there is no profile {profile!r}", mend=f"choose one of: {', '.join(PROFILES)}")
    wanted = PROFILES[profile] if seconds is None else _for_seconds(seconds)
    bounds = _COUNTING if connection.counts_instructions else _EMULATED if connection.emulated else wanted
    with conversation(connection, release) as talk:
        progress.step(f"loading {release.id} on {connection.address}")
        loaded = talk.ask({"do": "load"})
        doing = "counting instructions" if connection.counts_instructions else "timing"
        progress.step(f"{doing} on {connection.address} ({profile})")
        found, arrays = _timed(talk, bounds, progress)
        golden = _golden(talk, release, progress)
        observed = observe(talk, connection, release)
    if not talk.output(arrays, "samples_ns").size:
        raise DeviceError(f"{connection.address} returned no timing samples")
    if connection.counts_instructions:
        warmup, counted = (instructions(talk, arrays, name) for name in ("warmup_ns", "samples_ns"))
        count = instruction_count(
            talk.field(found, "first_ns", int),
            warmup,
            counted,
            load=_as_instructions(talk.field(loaded, "load_ms", float)),
            runtime_import=_as_instructions(talk.field(loaded, "import_ms", float)),
        )
        return structs.replace(observed, count=count, golden=golden)
    samples_ms = _milliseconds(talk, arrays, "samples_ns")
    elapsed_s = talk.field(found, "elapsed_s", float)
    least_ms = _least_ms(release)
    notes = (*_shortfall(bounds, len(samples_ms), elapsed_s), *_too_fast(samples_ms, least_ms, release))
    timing = Timing(
        clock="emulated" if connection.emulated else "device",
        profile=profile,
        import_ms=talk.field(loaded, "import_ms", float),
        load_ms=talk.field(loaded, "load_ms", float),
        first_inference_ms=talk.field(found, "first_ns", int) / 1e6,
        warmup_ms=_milliseconds(talk, arrays, "warmup_ns"),
        samples_ms=samples_ms,
        summary=summary(samples_ms, notes=notes),
        least_ms=least_ms,
    )
    return structs.replace(observed, timing=timing, golden=golden)


def _for_seconds(seconds: float) -> Profile:
    """For exactly so long; 64 samples are what a 90th percentile takes, and with fewer it is left out."""
    return Profile(warmup=1, warmup_s=min(0.5, seconds), min_samples=64, min_s=seconds, max_s=seconds)


def _as_instructions(elapsed_ms: float) -> int | None:
    """What a counting board's clock gave for milliseconds; None where that is no number of instructions."""
    return round(elapsed_ms * 1e6) if 0 <= elapsed_ms < 1e12 else None


def _timed(talk: Conversation, bounds: Profile, progress: Progress) -> tuple[dict[str, object], Arrays]:
    talk.send({"do": "bench", **structs.asdict(bounds)})
    while True:
        message, arrays = talk.receive()
        if message["is"] != "progress":
            return message, arrays
        if message.get("phase") == "steady":
            progress.advance(talk.field(message, "samples", int), None, "inferences")


def _milliseconds(talk: Conversation, arrays: Arrays, name: str) -> tuple[float, ...]:
    times_ns = talk.output(arrays, name)
    if times_ns.dtype != np.int64 or times_ns.ndim != 1 or (times_ns < 0).any():
        raise DeviceError("the device sends times that are none", why=f"{name}: {times_ns.dtype} {times_ns.shape}")
    return tuple((times_ns / 1e6).tolist())


def _shortfall(bounds: Profile, samples: int, elapsed_s: float) -> tuple[str, ...]:
    """What to know when a maximum ended the run before both minima were reached."""
    found = []
    if samples < bounds.min_samples:
        found.append(f"ended after {elapsed_s:.0f} s with {samples} of {bounds.min_samples:,} samples")
    if elapsed_s < bounds.min_s:
        found.append(f"ended with {samples:,} samples after {elapsed_s:.0f} of {bounds.min_s:.0f} s")
    return tuple(found)


def _least_ms(release: Release) -> float | None:
    manifest = release.manifest
    try:
        target = load_target(manifest.target)
    except EdgedeployError:
        # The release may be of another machine's making, whose targets are not here.
        return None
    operators = {name.lower() for name in manifest.model.operators}
    if operators & _BRANCHING:
        return None
    # Of a table that is looked things up in, a few rows are read.
    looked_up = any(word in name for name in operators for word in ("gather", "lookup"))
    return least_latency_ms(
        target, macs=manifest.model.macs, weight_bytes=0 if looked_up else manifest.model.size_bytes
    )


def _too_fast(samples_ms: Sequence[float], least_ms: float | None, release: Release) -> tuple[str, ...]:
    median_ms = statistics.median(samples_ms)
    if least_ms is None or median_ms >= least_ms:
        return ()
    return (
        f"p50 is {median_ms:.3g} ms, and a {release.manifest.target} needs {least_ms:.3g} ms at least: "
        "the clock is wrong, or the device is another",
    )


def _golden(talk: Conversation, release: Release, progress: Progress) -> Agreement | None:
    manifest = release.manifest
    if not manifest.golden_samples:
        return None
    progress.step("comparing with the golden outputs")
    agreement = AgreementAccumulator()
    for index in range(manifest.golden_samples):
        talk.send({"do": "golden", "index": index})
        _, arrays = talk.receive()
        agreement.add(
            [talk.output(arrays, f"found:{output.name}") for output in manifest.model.outputs],
            [talk.output(arrays, f"output:{output.name}") for output in manifest.model.outputs],
        )
    return agreement.figure()
