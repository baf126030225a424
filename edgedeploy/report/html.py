"""The report: one page that needs nothing else, and the same figures as JSON beside it."""

from __future__ import annotations

import base64
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from edgedeploy.files import write_bytes
from edgedeploy.report.bars import Pair, operator_pairs, paired_bars
from edgedeploy.report.comparison import comparison
from edgedeploy.report.plots import histogram, timeline
from edgedeploy.report.search_plot import front_svg
from edgedeploy.report.wording import (
    UNITS_IN_WORDS,
    bytes_in_words,
    limit_and_figure,
    milliseconds,
    percent_change,
    relation,
    speed_in_words,
    sqnr_in_words,
    verdict_counts,
    where_in_words,
)
from edgedeploy.values.contract import Outcome
from edgedeploy.values.evidence import Evidence
from edgedeploy.values.measurement import Conditions, Measurement, Timing
from edgedeploy.values.quality import Agreement
from edgedeploy.values.shipment import Shipment

if TYPE_CHECKING:
    from markupsafe import Markup

_MARKS = {Outcome.HOLDS.value: "✓", Outcome.BREAKS.value: "✗", Outcome.CANNOT_BE_TOLD.value: "?"}
_TONES = {Outcome.HOLDS.value: "holds", Outcome.BREAKS.value: "breaks", Outcome.CANNOT_BE_TOLD.value: "open"}
_ANSWERS = {
    Outcome.HOLDS: "The contract holds",
    Outcome.BREAKS: "The contract is broken",
    Outcome.CANNOT_BE_TOLD: "It cannot be told whether the contract holds",
}


def write_report(folder: Path, shipment: Shipment) -> Path:
    """Write `index.html` and `report.json` into `folder`, each whole or not at all; other files there stay.

    Returns:
        The page.

    Raises:
        HostError: the folder cannot be written.
    """
    write_bytes(folder / "report.json", msgspec.json.format(msgspec.json.encode(shipment), indent=2) + b"\n")
    page = folder / "index.html"
    write_bytes(page, render(shipment).encode())
    return page


def render(shipment: Shipment) -> str:
    """The page as text. What comes from devices and files is escaped, all of it."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgedeploy", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    evidence, measurement = shipment.evidence, shipment.measurement
    timing = measurement.timing if measurement else None
    answer, outcome = _answer(shipment)
    return environment.get_template("page.html.jinja").render(
        shipment=shipment,
        contract=shipment.contract,
        evidence=evidence,
        measurement=measurement,
        search=evidence.search,
        front=_as_address(front_svg(evidence.search)) if evidence.search else "",
        timing=timing,
        count=measurement.count if measurement else None,
        profile=shipment.profile,
        profile_unit=UNITS_IN_WORDS[shipment.profile.unit] if shipment.profile else "",
        answer=answer,
        mark=_MARKS[outcome.value],
        tone=_TONES[outcome.value],
        counts=verdict_counts(shipment.verdict) if shipment.verdict else "",
        marks=_MARKS,
        tones=_TONES,
        rows=comparison(shipment),
        size_bars=Markup(_size_bars(evidence)),  # noqa: S704 (as below)
        operator_bars=Markup(_operator_bars(evidence)),  # noqa: S704 (as below)
        labels_are_missing=_labels_are_missing(shipment),
        agreements=_agreements(shipment),
        percentiles=_percentiles(timing) if timing else (),
        clock="emulated wall-clock in ms, not a latency" if timing and timing.clock == "emulated" else "latency in ms",
        # SVG of our own making, whose words are escaped: the one thing that is not escaped again.
        histogram=Markup(_histogram(timing)) if timing else "",  # noqa: S704
        timeline=Markup(timeline(timing.samples_ms, f"{_title(timing)}: samples in order")) if timing else "",  # noqa: S704
        conditions=_conditions(measurement) if measurement else (),
        commands=_commands(shipment),
        bytes=bytes_in_words,
        ms=milliseconds,
        sqnr=sqnr_in_words,
        limit_and_figure=limit_and_figure,
        relation=relation,
        time=_time_in_words,
        breakable=_breakable,
    )


def _as_address(svg: str) -> str:
    """An SVG as a `data:` address: as an image it has its own styles, which do not meet the page's."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode('ascii')}"


def _answer(shipment: Shipment) -> tuple[str, Outcome]:
    if shipment.verdict:
        return _ANSWERS[shipment.verdict.outcome], shipment.verdict.outcome
    if not shipment.evidence.accepted:
        return "Refused", Outcome.BREAKS
    return "Not judged", Outcome.CANNOT_BE_TOLD


def _size_bars(evidence: Evidence) -> str:
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
        unit = " million instructions"
        before, after = (speed_in_words(value, speed) for value in (speed.source, speed.result))
        pairs.append(
            Pair(
                "work" if speed.unit == "instructions" else speed.currency,
                speed.source,
                speed.result,
                f"{before.removesuffix(unit)} → {after}",
            )
        )
    pairs = [
        structs.replace(pair, words=f"{pair.words} ({percent_change(pair.before, pair.after)})")
        if pair.before and pair.before != pair.after
        else pair
        for pair in pairs
    ]
    return paired_bars(pairs, "Before and after", is_one_scale=False)


def _operator_bars(evidence: Evidence) -> str:
    """Empty without a result, or without operators."""
    pairs = operator_pairs(evidence.source.operators, evidence.result.operators) if evidence.result else ()
    return paired_bars(pairs, "Operators before and after", is_one_scale=True) if pairs else ""


def _labels_are_missing(shipment: Shipment) -> bool:
    """Whether data were run, and none of them had labels."""
    accuracy = shipment.measurement.accuracy if shipment.measurement else None
    was_run = bool(shipment.evidence.executions or accuracy)
    return was_run and shipment.evidence.source_metric is None and not (accuracy and accuracy.metric)


def _commands(shipment: Shipment) -> list[str]:
    """What does it again, and what takes it back; ready to be pasted, but for the names in capitals."""
    device = shlex.quote(shipment.device)
    options = f" --target {shlex.quote(shipment.evidence.target)}" if shipment.evidence.target else ""
    if shipment.measurement and shipment.measurement.timing:
        options += f" --profile {shlex.quote(shipment.measurement.timing.profile)}"
    commands = [f"edgedeploy ship CONTRACT --to {device}{options} --report FOLDER"]
    if shipment.release:
        name = shlex.quote(shipment.contract.name)
        commands += [f"edgedeploy releases {device}", f"edgedeploy rollback {device} --name {name}"]
    return commands


def _time_in_words(taken_at: str) -> str:
    """`"2026-01-31 09:05 UTC"`; what is no time in ISO 8601 stays as it is."""
    try:
        moment = datetime.fromisoformat(taken_at)
    except ValueError:
        return taken_at
    if moment.tzinfo is None:
        return f"{moment:%Y-%m-%d %H:%M}"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _breakable(key: str) -> Markup:
    """A dotted key that may go on in a new line after a dot or an underscore, and nowhere else."""
    from markupsafe import Markup, escape

    text = str(escape(key.removeprefix("limits.")))
    return Markup(text.replace("_", "_<wbr>").replace(".", ".<wbr>"))  # noqa: S704 (escaped above)


def _agreements(shipment: Shipment) -> list[tuple[str, Agreement]]:
    found = [
        (
            f"optimized against float on the host: {where_in_words(execution)}",
            execution.agreement,
        )
        for execution in shipment.evidence.executions
    ]
    measurement = shipment.measurement
    if measurement and measurement.accuracy:
        found.append(("device against host, the same model", measurement.accuracy.agreement))
    if measurement and measurement.golden:
        found.append(("device against the bundle's golden outputs", measurement.golden))
    return found


def _percentiles(timing: Timing) -> list[tuple[str, float]]:
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


def _title(timing: Timing) -> str:
    return "Emulated wall-clock, not a latency" if timing.clock == "emulated" else "Latency"


def _histogram(timing: Timing) -> str:
    marks = [(name, value) for name, value in _percentiles(timing) if name in ("p50", "p90", "p99")]
    return histogram(timing.samples_ms, marks, f"{_title(timing)}: distribution")


def _conditions(measurement: Measurement) -> list[tuple[str, str]]:
    conditions: Conditions = measurement.conditions
    rows: list[tuple[str, str | None]] = [
        ("machine", conditions.machine),
        ("board", conditions.board),
        ("CPU", f"{conditions.cpu}, {conditions.cores} cores"),
        ("features", " ".join(conditions.cpu_features)),
        ("kernel", conditions.kernel),
        ("system", conditions.os),
        ("emulated", "yes (QEMU)" if conditions.emulated else "no"),
        ("memory", _memory(conditions)),
        ("load average", None if conditions.load_average_1min is None else f"{conditions.load_average_1min:.2f}"),
        ("temperature", None if conditions.temperature_c is None else f"{conditions.temperature_c:.1f} °C"),
        ("governor", conditions.governor),
        ("Python", conditions.python),
        ("runtime", ", ".join(f"{name} {version}" for name, version in conditions.runtime.items())),
        (
            "peak memory of the runner",
            None if measurement.peak_rss_bytes is None else bytes_in_words(measurement.peak_rss_bytes),
        ),
    ]
    return [(name, value or "not reported") for name, value in rows]


def _memory(conditions: Conditions) -> str | None:
    if conditions.memory_total_bytes is None:
        return None
    total = bytes_in_words(conditions.memory_total_bytes)
    if conditions.memory_available_bytes is None:
        return total
    return f"{total}, {bytes_in_words(conditions.memory_available_bytes)} available"
