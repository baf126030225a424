"""The report: one page that needs nothing else, and the same figures as JSON beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgedeploy.files import write_bytes
from edgedeploy.report.comparison import comparison
from edgedeploy.report.plots import histogram, timeline
from edgedeploy.report.wording import bytes_in_words, figure_in_words, milliseconds, relation
from edgedeploy.values.contract import Outcome
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
    Outcome.CANNOT_BE_TOLD: "Cannot be told",
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
    evidence, measurement, verdict = shipment.evidence, shipment.measurement, shipment.verdict
    timing = measurement.timing if measurement else None
    outcome = verdict.outcome if verdict else Outcome.BREAKS
    sizes = (evidence.source.size_bytes, evidence.result.size_bytes if evidence.result else 0)
    return environment.get_template("page.html.jinja").render(
        shipment=shipment,
        contract=shipment.contract,
        evidence=evidence,
        measurement=measurement,
        timing=timing,
        answer=_ANSWERS[outcome] if verdict else "Refused",
        mark=_MARKS[outcome.value],
        tone=_TONES[outcome.value],
        marks=_MARKS,
        tones=_TONES,
        rows=comparison(shipment),
        bar_before=round(100 * sizes[0] / max(sizes), 2),
        bar_after=round(100 * sizes[1] / max(sizes), 2),
        agreements=_agreements(shipment),
        percentiles=_percentiles(timing) if timing else (),
        # SVG of our own making, from numbers alone: the one thing that is not escaped again.
        histogram=Markup(_histogram(timing)) if timing else "",  # noqa: S704
        timeline=Markup(_timeline(timing)) if timing else "",  # noqa: S704
        conditions=_conditions(measurement) if measurement else (),
        bytes=bytes_in_words,
        ms=milliseconds,
        figure=figure_in_words,
        relation=relation,
        breakable=_breakable,
    )


def _breakable(key: str) -> Markup:
    """A dotted key that may go on in a new line after a dot or an underscore, and nowhere else."""
    from markupsafe import Markup, escape

    text = str(escape(key.removeprefix("limits.")))
    return Markup(text.replace("_", "_<wbr>").replace(".", ".<wbr>"))  # noqa: S704 (escaped above)


def _agreements(shipment: Shipment) -> list[tuple[str, Agreement]]:
    found = [
        (
            "optimized against float, exact arithmetic on the host"
            if execution.arithmetic == "exact"
            else f"optimized against float, the host's kernels ({execution.isa})",
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


def _timeline(timing: Timing) -> str:
    return timeline(timing.samples_ms, f"{_title(timing)}: samples in order")


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
