"""A contract held against a measurement: a line for each limit, with its figure and where it comes from."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from edgedeploy.stats.rounding import at_least, at_most
from edgedeploy.values.contract import Contract, Outcome, TargetLimits, Verdict, VerdictLine
from edgedeploy.values.measurement import Accuracy, Measurement, Timing
from edgedeploy.values.quality import MetricFigure
from edgedeploy.verdict.contract import SHARE_METRICS

_COUNTED = "instructions are work, not time: measure on a real board"
_EMULATED = "emulated wall-clock is not a latency: measure on a real board"
_UNCOUNTED = "no instructions were counted: edgedeploy board up --count, then bench there"
_HASH_DIGITS = 12

_Told = tuple[float | None, str]
"""A figure and where it comes from; or None and why there is none."""


def check(contract: Contract, measurement: Measurement, *, strict: bool = False) -> Verdict:
    """Hold `contract` against `measurement`.

    A figure that was not measured, or not under conditions that allow the comparison, «cannot be told»: it neither
    holds nor breaks. In particular: wall-clock times of an emulated board (its peak memory does count, the same
    binaries allocate the same there); percentiles of too few samples; limits of a target other than the measured one;
    a metric over a part of the data, or over data with another hash than the contract's; a drop when the float model
    was not evaluated on the very same data; instructions of a device that does not count them.

    A measurement of a day after the one on which the contract expires breaks it.

    The whole breaks if a line breaks, cannot be told if no limit holds, and holds otherwise.

    Args:
        strict: the whole cannot be told if a single line cannot.
    """
    lines = (*_claims(contract, measurement), *_limits(contract, measurement), *_target_limits(contract, measurement))
    outcomes = {line.outcome for line in lines}
    holds = any(line.outcome is Outcome.HOLDS and line.key.startswith("limits.") for line in lines)
    if Outcome.BREAKS in outcomes:
        outcome = Outcome.BREAKS
    elif not holds or (strict and Outcome.NOT_DETERMINED in outcomes):
        outcome = Outcome.NOT_DETERMINED
    else:
        outcome = Outcome.HOLDS
    return Verdict(
        contract=f"{contract.model.name} {contract.model.version}",
        lines=lines,
        owner=contract.model.owner,
        outcome=outcome,
    )


def _claims(contract: Contract, measurement: Measurement) -> Iterator[VerdictLine]:
    """What the contract says of the model and its data: are these what was measured?"""
    release, model = measurement.release, contract.model
    if _is_handed_over(contract, measurement):
        found, reason = release.model_sha256, "the measured model is the file that was handed over"
    elif release.source is None:
        found, reason = release.model_sha256, "the measured model is another file, and does not say what it was made of"
    else:
        found, reason = (
            release.source.sha256,
            f"the measured model was made of this one, recipe {release.source.recipe}",
        )
    yield _same_hash("model.sha256", model.sha256, found, reason)
    if model.parameters is not None:
        parameters = release.source.parameters if release.source else release.parameters
        outcome = Outcome.HOLDS if parameters == model.parameters else Outcome.BREAKS
        reason = "counted in the float model" if release.source else "counted in the measured model"
        yield _line("model.parameters", model.parameters, parameters, "", outcome, reason)
    if model.expires is not None:
        yield _expiry(model.expires, measurement.taken_at)
    if contract.data.evaluation_sha256 is not None:
        accuracy = measurement.accuracy
        found, reason = (accuracy.evaluation_sha256, accuracy.evaluation) if accuracy else ("", "nothing was tested")
        yield _same_hash("data.evaluation_sha256", contract.data.evaluation_sha256, found, reason)


def _limits(contract: Contract, measurement: Measurement) -> Iterator[VerdictLine]:
    limits, release = contract.limits, measurement.release
    unit = "share" if contract.data.metric in SHARE_METRICS else ""
    if limits.metric_min is not None:
        yield _at_least("limits.metric_min", limits.metric_min, _metric(contract, measurement), unit)
    if limits.metric_max_drop is not None:
        yield _at_most("limits.metric_max_drop", limits.metric_max_drop, _drop(contract, measurement), unit)
    if limits.agreement_top1_min is not None:
        match = _agreement(contract, measurement)
        yield _at_least("limits.agreement_top1_min", limits.agreement_top1_min, match, "share")
    if limits.size_max_bytes is not None:
        told = release.model_size_bytes, "the model file"
        yield _at_most("limits.size_max_bytes", limits.size_max_bytes, told, "bytes")
    if limits.size_reduction_min is not None:
        reduction = _size_reduction(contract, measurement)
        yield _at_least("limits.size_reduction_min", limits.size_reduction_min, reduction, "share")
    if limits.parameters_max is not None:
        told = release.parameters, "counted in the measured model"
        yield _at_most("limits.parameters_max", limits.parameters_max, told, "")


def _target_limits(contract: Contract, measurement: Measurement) -> Iterator[VerdictLine]:
    for name, limits in contract.limits.target.items():
        prefix = f"limits.target.{name}"
        measured = name == measurement.release.target
        other = f"the measured release is for {measurement.release.target}"
        if limits.peak_memory_max_bytes is not None:
            told = _peak_memory(measurement) if measured else (None, other)
            yield _at_most(f"{prefix}.peak_memory_max_bytes", limits.peak_memory_max_bytes, told, "bytes")
        for percentile, limit in _latency_limits(limits):
            told = _latency(measurement, percentile) if measured else (None, other)
            yield _at_most(f"{prefix}.latency_{percentile}_max_ms", limit, told, "ms")
        if limits.load_max_ms is not None:
            told = _load(measurement) if measured else (None, other)
            yield _at_most(f"{prefix}.load_max_ms", limits.load_max_ms, told, "ms")
        if limits.instructions_max is not None:
            told = _instructions(measurement) if measured else (None, other)
            yield _at_most(f"{prefix}.instructions_max", limits.instructions_max, told, "")


def _latency_limits(limits: TargetLimits) -> Iterator[tuple[str, float]]:
    for percentile in ("p50", "p90", "p95", "p99"):
        limit: float | None = getattr(limits, f"latency_{percentile}_max_ms")
        if limit is not None:
            yield percentile, limit


def _metric(contract: Contract, measurement: Measurement) -> _Told:
    metric, reason = _measured_metric(contract, measurement)
    if metric is None:
        return None, reason
    return metric.value, f"{metric.name} over {metric.samples:,} samples on {measurement.device}"


def _drop(contract: Contract, measurement: Measurement) -> _Told:
    metric, reason = _measured_metric(contract, measurement)
    if metric is None:
        return None, reason
    before, reason = _float_metric(contract, measurement)
    if before is None:
        return None, reason
    if (before.name, before.samples) != (metric.name, metric.samples):
        return None, f"the float model was evaluated with {before.name} over {before.samples:,} samples"
    return (
        before.value - metric.value,
        f"{before.value:.4f} float on the host, {metric.value:.4f} on {measurement.device}",
    )


def _measured_metric(contract: Contract, measurement: Measurement) -> tuple[MetricFigure | None, str]:
    accuracy, reason = _tested(contract, measurement)
    if accuracy is None:
        return None, reason
    if accuracy.metric is None:
        return None, "the data that was tested with has no labels"
    if accuracy.metric.name != contract.data.metric:
        return None, f"{accuracy.metric.name} was measured, not {contract.data.metric}"
    return accuracy.metric, ""


def _float_metric(contract: Contract, measurement: Measurement) -> tuple[MetricFigure | None, str]:
    """How good the model that was handed over is on the host, over the data that the device was tested with."""
    accuracy, source = measurement.accuracy, measurement.release.source
    if accuracy and _is_handed_over(contract, measurement):
        return accuracy.host_metric, "the model was not run on the host"
    if accuracy is None or source is None or source.metric is None:
        return None, "the release does not say how good the float model was"
    if source.sha256 != contract.model.sha256:
        return None, "the release was made of another model"
    if source.evaluation_sha256 != accuracy.evaluation_sha256:
        return None, "the float model was evaluated on other data"
    return source.metric, ""


def _agreement(contract: Contract, measurement: Measurement) -> _Told:
    accuracy, reason = _tested(contract, measurement)
    if accuracy is None:
        return None, reason
    if accuracy.agreement.top1_match is None:
        return None, "the model gives no scores to be compared"
    return accuracy.agreement.top1_match, "the device against the same model in exact arithmetic on the host"


def _tested(contract: Contract, measurement: Measurement) -> tuple[Accuracy | None, str]:
    """The accuracy, if it is over the contract's data as far as that can be known."""
    accuracy, wanted = measurement.accuracy, contract.data.evaluation_sha256
    if accuracy is None:
        return None, "nothing was tested"
    if accuracy.partial:
        return None, f"only the first {accuracy.samples:,} samples were tested"
    if wanted is not None and accuracy.evaluation_sha256 != wanted:
        return None, "tested with other data than the contract's"
    return accuracy, ""


def _size_reduction(contract: Contract, measurement: Measurement) -> _Told:
    release = measurement.release
    if _is_handed_over(contract, measurement):
        return 0.0, "the model is the file that was handed over"
    if release.source is None or release.source.size_bytes <= 0:
        return None, "the release does not say what it was made of"
    reduction = 1 - release.model_size_bytes / release.source.size_bytes
    return reduction, f"{release.source.size_bytes:,} → {release.model_size_bytes:,} bytes"


def _peak_memory(measurement: Measurement) -> _Told:
    if measurement.peak_rss_bytes is None:
        return None, "the device does not tell"
    where = "; the same binaries as on a real board" if measurement.conditions.emulated else ""
    return measurement.peak_rss_bytes, f"largest resident set of the runner's process, runtime included{where}"


def _timed(measurement: Measurement) -> tuple[Timing | None, str]:
    """The timing, if it is of a clock that latencies can be read from."""
    timing = measurement.timing
    if timing is None and measurement.count is not None:
        return None, _COUNTED
    if timing is None:
        return None, "nothing was timed"
    if timing.clock == "emulated" or measurement.conditions.emulated:
        return None, _EMULATED
    if timing.validity is not None and timing.validity.outcome == "invalid":
        reasons = "; ".join(doubt.reason for doubt in timing.validity.doubts if doubt.invalidates)
        return None, f"the measurement is invalid: {reasons}"
    return timing, ""


def _latency(measurement: Measurement, percentile: str) -> _Told:
    timing, reason = _timed(measurement)
    if timing is None:
        return None, reason
    figure: float | None = getattr(timing.summary, f"{percentile}_ms")
    if figure is None:
        needs = (note for note in timing.summary.notes if note.startswith(f"{percentile} "))
        return None, next(needs, f"{timing.summary.n} samples are too few")
    if timing.least_ms is not None and figure < timing.least_ms:
        return None, (
            f"{figure:.3g} ms were measured, and a {measurement.release.target} needs {timing.least_ms:.3g} ms at "
            "least: the clock is wrong, or the device is another"
        )
    return figure, f"{percentile} of {timing.summary.n:,} samples on {measurement.device}"


def _load(measurement: Measurement) -> _Told:
    timing, reason = _timed(measurement)
    if timing is None:
        return None, reason
    parts = {"importing the runtime": timing.import_ms, "loading the model": timing.load_ms}
    known = {what: took_ms for what, took_ms in parts.items() if took_ms is not None}
    reason = ", ".join(f"{took_ms:.3g} ms {what}" for what, took_ms in known.items())
    return sum(known.values()), f"{reason}; once, in a fresh process on {measurement.device}"


def _instructions(measurement: Measurement) -> _Told:
    count = measurement.count
    if count is None:
        return None, _UNCOUNTED
    return count.per_inference, f"median of {count.n:,} inferences on {measurement.device}: work, not time"


def _expiry(last: datetime.date, taken_at: str) -> VerdictLine:
    """
    Args:
        taken_at: ISO 8601, as a measurement has it; out of a file, so that it may be anything.
    """
    try:
        day = datetime.datetime.fromisoformat(taken_at).date()
    except ValueError:
        return _line("model.expires", str(last), None, "", Outcome.NOT_DETERMINED, "the measurement has no valid date")
    outcome = Outcome.HOLDS if day <= last else Outcome.BREAKS
    reason = "the day of the measurement" + ("" if day <= last else "; ask the contract's owner for a new one")
    return _line("model.expires", str(last), str(day), "", outcome, reason)


def _is_handed_over(contract: Contract, measurement: Measurement) -> bool:
    """Whether what was measured is the very file of the contract, not something made of it."""
    return measurement.release.model_sha256 == contract.model.sha256


def _same_hash(key: str, wanted: str, found: str, reason: str) -> VerdictLine:
    if not found:
        return _line(key, wanted[:_HASH_DIGITS], None, "", Outcome.NOT_DETERMINED, reason)
    outcome = Outcome.HOLDS if found == wanted else Outcome.BREAKS
    return _line(key, wanted[:_HASH_DIGITS], found[:_HASH_DIGITS], "", outcome, reason)


def _at_most(key: str, limit: float, told: _Told, unit: str) -> VerdictLine:
    figure, reason = told
    holds = figure is not None and at_most(figure, limit)
    return _line(key, limit, figure, unit, _outcome(figure, holds), reason)


def _at_least(key: str, limit: float, told: _Told, unit: str) -> VerdictLine:
    figure, reason = told
    holds = figure is not None and at_least(figure, limit)
    return _line(key, limit, figure, unit, _outcome(figure, holds), reason)


def _outcome(figure: float | None, holds: bool) -> Outcome:
    if figure is None:
        return Outcome.NOT_DETERMINED
    return Outcome.HOLDS if holds else Outcome.BREAKS


def _line(
    key: str, limit: float | str, figure: float | str | None, unit: str, outcome: Outcome, reason: str
) -> VerdictLine:
    return VerdictLine(key=key, limit=limit, figure=figure, unit=unit, outcome=outcome, reason=reason)
