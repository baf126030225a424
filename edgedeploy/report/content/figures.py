"""Which pictures the page has of a shipment, each as inline SVG; empty where there is nothing to draw."""

from __future__ import annotations

from msgspec import structs

from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.plots.bars import Pair, operator_pairs, paired_bars
from edgedeploy.plots.timeline import histogram, room_for, timeline, trend
from edgedeploy.report.content.wording import percent_change, speed_change_in_words
from edgedeploy.values.evidence import Evidence
from edgedeploy.values.measurement import DeviceState, InstructionCount, Timing

_MILLION = 1e6


def size_bars(evidence: Evidence) -> str:
    """What the recipe is to make smaller: bytes, parameters, work. Empty without a result."""
    source, result, speed = evidence.source, evidence.result, evidence.speed
    if result is None:
        return ""
    sizes = f"{bytes_in_words(source.size_bytes)} → {bytes_in_words(result.size_bytes)}"
    pairs = [
        Pair("size", source.size_bytes, result.size_bytes, sizes),
        Pair("parameters", source.parameters, result.parameters, f"{source.parameters:,} → {result.parameters:,}"),
    ]
    if source.macs is not None and result.macs is not None:
        pairs.append(Pair("MACs", source.macs, result.macs, f"{source.macs:,} → {result.macs:,}"))
    if speed is not None:
        name = "work" if speed.unit == "instructions" else speed.currency
        pairs.append(Pair(name, speed.source, speed.result, speed_change_in_words(speed)))
    pairs = [
        structs.replace(pair, words=f"{pair.words} ({percent_change(pair.before, pair.after)})")
        if pair.before and pair.before != pair.after
        else pair
        for pair in pairs
    ]
    return paired_bars(pairs, "Before and after", is_one_scale=False)


def operator_bars(evidence: Evidence) -> str:
    """Empty without a result, or without operators."""
    pairs = operator_pairs(evidence.source.operators, evidence.result.operators) if evidence.result else ()
    return paired_bars(pairs, "Operators before and after", is_one_scale=True) if pairs else ""


def percentiles(timing: Timing) -> list[tuple[str, float]]:
    summary = timing.summary
    named = {
        "min": summary.min_ms,
        "p50": summary.p50_ms,
        "mean": summary.mean_ms,
        "p90": summary.p90_ms,
        "p95": summary.p95_ms,
        "p99": summary.p99_ms,
        "MAD": summary.mad_ms,
    }
    return [(name, value) for name, value in named.items() if value is not None]


def timing_plots(timing: Timing) -> tuple[str, str]:
    """The samples' distribution, and the samples in order; with the percentiles that there are samples enough for."""
    marks = [(name, value) for name, value in percentiles(timing) if name in ("p50", "p90", "p99")]
    title = "Emulated wall-clock, not a latency" if timing.clock == "emulated" else "Latency"
    samples_ms = timing.samples_ms
    order = timeline(
        samples_ms, f"{title}: samples in order", marks[:2], bands=slowed_stretches(timing), room=_room(timing)
    )
    return histogram(samples_ms, marks, f"{title}: distribution"), order


def state_plots(timing: Timing) -> tuple[tuple[str, str, str], ...]:
    """Temperature and clock while the samples were taken: name, unit and plot, of those that the device told."""
    bands, room, last = slowed_stretches(timing), _room(timing), len(timing.samples_ms)
    return tuple(
        (name, unit, trend(points, last, name, unit, bands=bands, room=room))
        for name, unit, points in _trends(timing)
        if points
    )


def slowed_stretches(timing: Timing) -> list[tuple[float, float]]:
    """Samples, from 1, that were taken while the board was slowed down or short of voltage."""
    stretches, before = [], 1
    for at, state in _steady_states(timing):
        if state.is_slowed_down or state.is_short_of_voltage:
            stretches.append((float(before), float(at)))
        before = at
    return stretches


def _room(timing: Timing) -> float:
    return room_for(timing.samples_ms, *([value for _, value in points] for _, _, points in _trends(timing)))


def _trends(timing: Timing) -> tuple[tuple[str, str, list[tuple[float, float]]], ...]:
    states = _steady_states(timing)
    return (
        (
            "Temperature",
            "°C",
            [(at, state.temperature_c) for at, state in states if state.temperature_c is not None],
        ),
        ("Clock", "MHz", [(at, state.clock_mhz) for at, state in states if state.clock_mhz is not None]),
    )


def _steady_states(timing: Timing) -> list[tuple[int, DeviceState]]:
    """With the number of the sample that each was told after, over all processes."""
    found, before = [], 0
    for process in timing.processes:
        found += [(before + state.samples, state) for state in process.states if state.phase == "steady"]
        before += process.samples
    return found


def count_plots(count: InstructionCount) -> tuple[str, str]:
    """As `timing_plots`, in millions of instructions."""
    samples = [number / _MILLION for number in count.samples]
    marks, unit = [("p50", count.per_inference / _MILLION)], "million instructions"
    return (
        histogram(samples, marks, "Instructions: distribution", unit),
        timeline(samples, "Instructions: samples in order", marks, unit),
    )
