"""A contract held against a measurement: a line for each limit, with its figure and where it comes from."""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Callable, Iterator

from edgedeploy.stats.rounding import at_least, at_most
from edgedeploy.values.contract import LIMIT_RULES, Contract, Outcome, Verdict, VerdictLine, stated_limits
from edgedeploy.values.measurement import Accuracy, Measurement, Summary, Timing
from edgedeploy.values.metric_facts import is_share_metric
from edgedeploy.values.plausible import LONGEST_MS, impossible_reason, possible
from edgedeploy.values.quality import MetricFigure
from edgedeploy.verdict.contract import has_expired

_COUNTED = "instructions are work, not time: measure on a real board"
_EMULATED = "emulated wall-clock is not a latency: measure on a real board"
_UNCOUNTED = "no instructions were counted: bench on a board that counts (`edgedeploy board up --count`)"
_HASH_DIGITS = 12

_Figure = tuple[float | None, str]
"""A figure and where it comes from; or None and why there is none."""


def check(contract: Contract, measurement: Measurement, *, strict: bool = False) -> Verdict:
    """Hold `contract` against `measurement`.

    A figure that was not measured, or not under conditions that allow the comparison, is not determined: its line
    neither holds nor breaks. In particular: wall-clock times of an emulated board (its peak memory does count, the same
    binaries allocate the same there); percentiles of too few samples; limits of a target other than the measured one;
    a metric over a part of the data, or over data with another hash than the contract's; a drop when the float model
    was not evaluated on the very same data; instructions of a device that does not count them.

    A measurement of a day after the one on which the contract expires breaks it.

    The whole breaks if a line breaks, is not determined if no limit holds, and holds otherwise.

    Args:
        strict: the whole is not determined if a single line is not.
    """
    claims = tuple(_claims(contract, measurement))
    limits = (*_limits(contract, measurement), *_target_limits(contract, measurement))
    lines = (*claims, *limits)
    outcomes = {line.outcome for line in lines}
    if Outcome.BREAKS in outcomes:
        outcome = Outcome.BREAKS
    elif not any(line.outcome is Outcome.HOLDS for line in limits) or (strict and Outcome.NOT_DETERMINED in outcomes):
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
    """Yield a line for each thing that the contract says of the model and its data: are these what was measured?"""
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
        yield _expiry(contract, measurement.taken_at)
    if contract.data.evaluation_sha256 is not None:
        accuracy = measurement.accuracy
        found, reason = (accuracy.evaluation_sha256, accuracy.evaluation) if accuracy else ("", "nothing was tested")
        yield _same_hash("data.evaluation_sha256", contract.data.evaluation_sha256, found, reason)


def _limits(contract: Contract, measurement: Measurement) -> Iterator[VerdictLine]:
    """Yield a line for each limit that holds on any target."""
    for name, limit in stated_limits(contract.limits):
        figure = _FIGURES[name](contract, measurement)
        yield _limit_line(contract, "limits", name, limit, figure)


def _target_limits(contract: Contract, measurement: Measurement) -> Iterator[VerdictLine]:
    """Yield a line for each limit of a target; those of other targets than the measured one are not determined."""
    measured = measurement.release.target
    for target, limits in contract.limits.target.items():
        for name, limit in stated_limits(limits):
            figure: _Figure = None, f"the measured release is for {measured}"
            if target == measured:
                figure = _TARGET_FIGURES[name](measurement)
            yield _limit_line(contract, f"limits.target.{target}", name, limit, figure)


def _limit_line(contract: Contract, table: str, name: str, limit: float, found: _Figure) -> VerdictLine:
    rule, (figure, reason) = LIMIT_RULES[name], found
    if figure is not None and (impossible := impossible_reason(rule.kind, figure)):
        figure, reason = None, impossible
    unit = {"metric": "share", "drop": "share", "ratio": "share", "count": ""}.get(rule.kind, rule.kind)
    if rule.kind in ("metric", "drop") and not is_share_metric(contract.data.metric):
        unit = ""
    if figure is None:
        outcome = Outcome.NOT_DETERMINED
    else:
        holds = at_most(figure, limit) if rule.direction == "max" else at_least(figure, limit)
        outcome = Outcome.HOLDS if holds else Outcome.BREAKS
    return _line(f"{table}.{name}", limit, figure, unit, outcome, reason)


def _metric(contract: Contract, measurement: Measurement) -> _Figure:
    metric, reason = _measured_metric(contract, measurement)
    if metric is None:
        return None, reason
    return metric.value, f"{metric.name} over {metric.samples:,} samples on {measurement.device}"


def _drop(contract: Contract, measurement: Measurement, *, relative: bool = False) -> _Figure:
    metric, reason = _measured_metric(contract, measurement)
    if metric is None:
        return None, reason
    before, reason = _float_metric(contract, measurement)
    if before is None:
        return None, reason
    if (before.name, before.samples) != (metric.name, metric.samples):
        return None, f"the float model was evaluated with {before.name} over {before.samples:,} samples"
    if relative and not before.value:
        return None, f"the float model's {before.name} is 0, of which there is no share"
    worsening = metric.worsening(before)
    return (
        worsening / abs(before.value) if relative else worsening,
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
    return _possible_metric(accuracy.metric)


def _possible_metric(metric: MetricFigure | None) -> tuple[MetricFigure | None, str]:
    """Return a metric if it can be; or None and why not."""
    if metric is not None and not (
        math.isfinite(metric.value) and (not is_share_metric(metric.name) or 0 <= metric.value <= 1)
    ):
        return None, f"{metric.name} of {metric.value:g} was reported, which cannot be"
    return metric, ""


def _float_metric(contract: Contract, measurement: Measurement) -> tuple[MetricFigure | None, str]:
    """Return how good the model that was handed over is on the host, over the data that the device was tested with."""
    accuracy, source = measurement.accuracy, measurement.release.source
    if accuracy and _is_handed_over(contract, measurement):
        metric, reason = _possible_metric(accuracy.host_metric)
        return metric, reason or "the model was not run on the host"
    if accuracy is None or source is None or source.metric is None:
        return None, "the release does not say how good the float model was"
    if source.sha256 != contract.model.sha256:
        return None, "the release was made of another model"
    if source.evaluation_sha256 != accuracy.evaluation_sha256:
        return None, "the float model was evaluated on other data"
    return _possible_metric(source.metric)


def _agreement(contract: Contract, measurement: Measurement) -> _Figure:
    accuracy, reason = _tested(contract, measurement)
    if accuracy is None:
        return None, reason
    matches = {name: each.answers_match for name, each in accuracy.by_output.items() if each.answers_match is not None}
    name, match = min(matches.items(), key=lambda pair: pair[1], default=("", accuracy.agreement.answers_match))
    if match is None:
        return None, (
            "no output is known to hold class scores or text: give the evaluation data labels, or test with "
            "--metric top1"
        )
    for each in (match, accuracy.agreement.answers_match):
        if possible("top1_match", each) is None:
            return None, f"a match of {each} was reported, which cannot be"
    worst = f"; output {name!r}, the worst" if len(matches) > 1 else ""
    return match, f"the device against the same model in exact arithmetic on the host{worst}"


def _tested(contract: Contract, measurement: Measurement) -> tuple[Accuracy | None, str]:
    """Return the accuracy, if it is over the contract's data as far as that can be known."""
    accuracy, wanted = measurement.accuracy, contract.data.evaluation_sha256
    if accuracy is None:
        return None, "nothing was tested"
    if accuracy.partial:
        return None, f"only the first {accuracy.samples:,} samples were tested"
    if wanted is not None and accuracy.evaluation_sha256 != wanted:
        return None, "tested with other data than the contract's"
    return accuracy, ""


def _size(contract: Contract, measurement: Measurement) -> _Figure:
    return measurement.release.model_size_bytes, "the model file"


def _parameters(contract: Contract, measurement: Measurement) -> _Figure:
    return measurement.release.parameters, "counted in the measured model"


def _size_reduction(contract: Contract, measurement: Measurement) -> _Figure:
    release = measurement.release
    if _is_handed_over(contract, measurement):
        return 0.0, "the model is the file that was handed over"
    if release.source is None or release.source.size_bytes <= 0:
        return None, "the release does not say what it was made of"
    if impossible := impossible_reason("bytes", release.model_size_bytes):
        return None, impossible
    reduction = 1 - release.model_size_bytes / release.source.size_bytes
    return reduction, f"{release.source.size_bytes:,} → {release.model_size_bytes:,} bytes"


def _peak_memory(measurement: Measurement) -> _Figure:
    if measurement.peak_rss_bytes is None:
        return None, "the device does not report its memory, or reports what cannot be"
    where = "; the same binaries as on a real board" if measurement.conditions.emulated else ""
    return measurement.peak_rss_bytes, f"largest resident set of the runner's process, runtime included{where}"


def _timed(measurement: Measurement) -> tuple[Timing | None, str]:
    """Return the timing, if it is of a clock that latencies can be read from."""
    timing = measurement.timing
    if timing is None and measurement.count is not None:
        return None, _COUNTED
    if timing is None:
        return None, "nothing was timed"
    if timing.clock == "emulated" or measurement.conditions.emulated:
        return None, _EMULATED
    if timing.validity is not None and timing.validity.outcome == "invalid":
        reasons = "; ".join(warning.reason for warning in timing.validity.warnings if warning.invalidates)
        return None, f"the measurement is invalid: {reasons}"
    return timing, ""


def _latency(measurement: Measurement, *, share: float) -> _Figure:
    """
    Args:
        share: of the percentile, one of 0.5, 0.9, 0.95 and 0.99.
    """
    timing, reason = _timed(measurement)
    if timing is None:
        return None, reason
    figure, reason = _percentile(timing.summary, share)
    if figure is None:
        return None, reason
    if timing.least_ms is not None and figure < timing.least_ms:
        return None, (
            f"{figure:.3g} ms were measured, and a {measurement.release.target} needs {timing.least_ms:.3g} ms at "
            "least: the clock is wrong, or the device is another"
        )
    return figure, f"p{share * 100:.0f} of {timing.summary.n:,} samples on {measurement.device}"


def _percentile(summary: Summary, share: float) -> _Figure:
    """Return a percentile in ms; or None and how many samples it needs, where the file says that."""
    figures = {0.5: summary.p50_ms, 0.9: summary.p90_ms, 0.95: summary.p95_ms, 0.99: summary.p99_ms}
    reasons = {percentile.share: percentile.reason for percentile in summary.percentiles}
    return figures[share], reasons.get(share) or f"{summary.n} samples are too few"


def _load(measurement: Measurement) -> _Figure:
    timing, reason = _timed(measurement)
    if timing is None:
        return None, reason
    parts = {"importing the runtime": timing.import_ms, "loading the model": timing.load_ms}
    known = {what: took_ms for what, took_ms in parts.items() if took_ms is not None}
    if timing.load_ms is None or any(not 0 <= took_ms <= LONGEST_MS for took_ms in known.values()):
        return None, "the device reports a time of loading that cannot be"
    reason = ", ".join(f"{took_ms:.3g} ms {what}" for what, took_ms in known.items())
    return sum(known.values()), f"{reason}; once, in a fresh process on {measurement.device}"


def _instructions(measurement: Measurement) -> _Figure:
    count = measurement.count
    if count is None:
        return None, _UNCOUNTED
    if count.per_inference <= 0:
        return None, f"{count.per_inference:,.0f} instructions were reported, which cannot be"
    return count.per_inference, f"median of {count.n:,} inferences on {measurement.device}: work, not time"


def _expiry(contract: Contract, taken_at: str) -> VerdictLine:
    """Hold the day of a measurement against the last day of a contract that has one.

    Args:
        taken_at: ISO 8601, as a measurement has it; out of a file, so that it may be anything.
    """
    key, last = "model.expires", str(contract.model.expires)
    try:
        day = datetime.datetime.fromisoformat(taken_at).date()
    except ValueError:
        return _line(key, last, None, "", Outcome.NOT_DETERMINED, "the measurement has no valid date")
    if has_expired(contract, day):
        reason = "the day of the measurement; ask the contract's owner for a new one"
        return _line(key, last, str(day), "", Outcome.BREAKS, reason)
    return _line(key, last, str(day), "", Outcome.HOLDS, "the day of the measurement")


def _is_handed_over(contract: Contract, measurement: Measurement) -> bool:
    """Return whether what was measured is the very file of the contract, not something made of it."""
    return measurement.release.model_sha256 == contract.model.sha256


def _same_hash(key: str, wanted: str, found: str, reason: str) -> VerdictLine:
    if not found:
        return _line(key, wanted[:_HASH_DIGITS], None, "", Outcome.NOT_DETERMINED, reason)
    outcome = Outcome.HOLDS if found == wanted else Outcome.BREAKS
    return _line(key, wanted[:_HASH_DIGITS], found[:_HASH_DIGITS], "", outcome, reason)


def _line(
    key: str, limit: float | str, figure: float | str | None, unit: str, outcome: Outcome, reason: str
) -> VerdictLine:
    return VerdictLine(key=key, limit=limit, figure=figure, unit=unit, outcome=outcome, reason=reason)


_FIGURES: dict[str, Callable[[Contract, Measurement], _Figure]] = {
    "metric_min": _metric,
    "metric_max": _metric,
    "metric_max_drop": _drop,
    "metric_max_drop_relative": functools.partial(_drop, relative=True),
    "agreement_top1_min": _agreement,
    "size_max_bytes": _size,
    "size_reduction_min": _size_reduction,
    "parameters_max": _parameters,
}
"""What each field of `Limits` is held against."""
_TARGET_FIGURES: dict[str, Callable[[Measurement], _Figure]] = {
    "peak_memory_max_bytes": _peak_memory,
    "latency_p50_max_ms": functools.partial(_latency, share=0.5),
    "latency_p90_max_ms": functools.partial(_latency, share=0.9),
    "latency_p95_max_ms": functools.partial(_latency, share=0.95),
    "latency_p99_max_ms": functools.partial(_latency, share=0.99),
    "load_max_ms": _load,
    "instructions_max": _instructions,
}
"""What each field of `TargetLimits` is held against, on a release for that target."""
