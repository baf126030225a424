"""A contract held against a measurement: a line for each limit, with its figure and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator

from edgedeploy.values.contract import Contract, Outcome, TargetLimits, Verdict, VerdictLine
from edgedeploy.values.measurement import Measurement

_TOLERANCE = 1e-9
"""0.97 - 0.96 is more than 0.01 in binary floating point; a limit is not broken by that."""
_EMULATED = "wall-clock of an emulated board is not a latency; measure on a real one"


def check(contract: Contract, measurement: Measurement) -> Verdict:
    """Hold `contract` against `measurement`.

    A figure that was not measured, or not under conditions that allow the comparison, «cannot be told»: it neither
    holds nor breaks. The whole breaks if a line breaks, cannot be told if no limit holds, and holds otherwise.
    """
    lines = (*_claims(contract, measurement), *_limits(contract, measurement), *_target_limits(contract, measurement))
    breaks = any(line.outcome is Outcome.BREAKS for line in lines)
    holds = any(line.outcome is Outcome.HOLDS and line.key.startswith("limits.") for line in lines)
    outcome = Outcome.BREAKS if breaks else Outcome.HOLDS if holds else Outcome.CANNOT_BE_TOLD
    return Verdict(contract=f"{contract.model.name} {contract.model.version}", lines=lines, outcome=outcome)


def _claims(contract: Contract, measurement: Measurement) -> Iterator[VerdictLine]:
    """What the contract says of the model and its data: is this the model that was measured?"""
    release = measurement.release
    known = {release.model_sha256: "the measured model is the file that was handed over"}
    if release.source:
        known[release.source.sha256] = f"the measured model was made from it (recipe {release.source.recipe})"
    if contract.model.sha256 in known:
        yield _line("model.sha256", contract.model.sha256[:12], contract.model.sha256[:12], "", Outcome.HOLDS,
                    known[contract.model.sha256])  # fmt: skip
    else:
        found = release.source.sha256 if release.source else release.model_sha256
        yield _line("model.sha256", contract.model.sha256[:12], found[:12], "", Outcome.BREAKS, "another model")
    if contract.model.parameters is not None:
        parameters = release.source.parameters if release.source else release.parameters
        same = parameters == contract.model.parameters
        yield _line("model.parameters", contract.model.parameters, parameters, "",
                    Outcome.HOLDS if same else Outcome.BREAKS, "counted in the model that was handed over")  # fmt: skip
    if contract.data.evaluation_sha256 is not None:
        key, wanted = "data.evaluation_sha256", contract.data.evaluation_sha256
        if measurement.accuracy is None:
            yield _line(key, wanted[:12], None, "", Outcome.CANNOT_BE_TOLD, "nothing was tested")
        else:
            found = measurement.accuracy.evaluation_sha256
            same = found == wanted
            yield _line(key, wanted[:12], found[:12], "", Outcome.HOLDS if same else Outcome.BREAKS,
                        "the data that was tested with")  # fmt: skip


def _limits(contract: Contract, measurement: Measurement) -> Iterator[VerdictLine]:
    limits, release, accuracy = contract.limits, measurement.release, measurement.accuracy
    metric = accuracy.metric if accuracy and accuracy.metric and accuracy.metric.name == contract.data.metric else None
    missing = f"{contract.data.metric} was not measured on the device"
    on_device = f"{contract.data.metric} over {metric.samples} samples on {measurement.device}" if metric else missing
    if limits.metric_min is not None:
        yield _at_least("limits.metric_min", limits.metric_min, metric.value if metric else None, "share", on_device)
    if limits.metric_max_drop is not None:
        drop, reason = _drop(measurement) if metric else (None, missing)
        yield _at_most("limits.metric_max_drop", limits.metric_max_drop, drop, "share", reason)
    if limits.agreement_top1_min is not None:
        match = accuracy.agreement.top1_match if accuracy else None
        reason = "the device's answers against the same model in exact arithmetic on the host"
        yield _at_least("limits.agreement_top1_min", limits.agreement_top1_min, match, "share",
                        reason if match is not None else "no scores were compared")  # fmt: skip
    if limits.size_max_bytes is not None:
        yield _at_most(
            "limits.size_max_bytes", limits.size_max_bytes, release.model_size_bytes, "bytes", "the model file"
        )
    if limits.size_reduction_min is not None:
        if release.source:
            reduction = 1 - release.model_size_bytes / release.source.size_bytes
            reason = f"{release.source.size_bytes:,} → {release.model_size_bytes:,} bytes"
            yield _at_least("limits.size_reduction_min", limits.size_reduction_min, reduction, "share", reason)
        else:
            yield _at_least("limits.size_reduction_min", limits.size_reduction_min, None, "share",
                            "the release does not say what it was made from")  # fmt: skip
    if limits.parameters_max is not None:
        yield _at_most(
            "limits.parameters_max", limits.parameters_max, release.parameters, "", "counted in the model file"
        )


def _drop(measurement: Measurement) -> tuple[float | None, str]:
    accuracy, source = measurement.accuracy, measurement.release.source
    assert accuracy is not None and accuracy.metric is not None
    if source is None or source.metric is None:
        return None, "the release does not say how good the float model was"
    if source.metric.name != accuracy.metric.name or source.evaluation_sha256 != accuracy.evaluation_sha256:
        return None, "the float model was evaluated on other data or with another metric"
    return (
        source.metric.value - accuracy.metric.value,
        f"{source.metric.value:.4f} float on the host, {accuracy.metric.value:.4f} on {measurement.device}",
    )


def _target_limits(contract: Contract, measurement: Measurement) -> Iterator[VerdictLine]:
    for name, limits in contract.limits.target.items():
        prefix = f"limits.target.{name}"
        other = "" if name == measurement.release.target else f"measured was {measurement.release.target}"
        if limits.peak_memory_max_bytes is not None:
            # The same binaries allocate the same memory on an emulated board: this figure counts there too.
            yield _at_most(
                f"{prefix}.peak_memory_max_bytes",
                limits.peak_memory_max_bytes,
                None if other else measurement.peak_rss_bytes,
                "bytes",
                other or "largest resident set of the runner's process, runtime included",
            )
        yield from _latency_limits(prefix, limits, measurement, other)


def _latency_limits(prefix: str, limits: TargetLimits, measurement: Measurement, other: str) -> Iterator[VerdictLine]:
    timing = measurement.timing
    for name, limit in (
        ("p50", limits.latency_p50_max_ms),
        ("p90", limits.latency_p90_max_ms),
        ("p99", limits.latency_p99_max_ms),
    ):
        if limit is None:
            continue
        figure: float | None = None
        if other:
            reason = other
        elif timing is None:
            reason = "nothing was timed"
        elif timing.clock == "emulated" or measurement.conditions.emulated:
            reason = _EMULATED
        else:
            figure = getattr(timing.summary, f"{name}_ms")
            reason = f"n = {timing.summary.n}"
            if figure is None:
                reason = next((note for note in timing.summary.notes if note.startswith(name)), "too few samples")
        yield _at_most(f"{prefix}.latency_{name}_max_ms", limit, figure, "ms", reason)


def _at_most(key: str, limit: float, figure: float | None, unit: str, reason: str) -> VerdictLine:
    holds = figure is not None and figure <= limit + _TOLERANCE
    return _line(key, limit, figure, unit, _outcome(figure, holds), reason)


def _at_least(key: str, limit: float, figure: float | None, unit: str, reason: str) -> VerdictLine:
    holds = figure is not None and figure >= limit - _TOLERANCE
    return _line(key, limit, figure, unit, _outcome(figure, holds), reason)


def _outcome(figure: float | None, holds: bool) -> Outcome:
    if figure is None:
        return Outcome.CANNOT_BE_TOLD
    return Outcome.HOLDS if holds else Outcome.BREAKS


def _line(
    key: str, limit: float | str, figure: float | str | None, unit: str, outcome: Outcome, reason: str
) -> VerdictLine:
    return VerdictLine(key=key, limit=limit, figure=figure, unit=unit, outcome=outcome, reason=reason)
