"""The report: one page that needs nothing else, and the same figures as JSON beside it."""

from __future__ import annotations

import base64
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgedeploy.foundation.files import write_bytes
from edgedeploy.foundation.units import bytes_in_words, milliseconds
from edgedeploy.plots.pareto_plot import front_svg
from edgedeploy.report.content.comparison import comparison
from edgedeploy.report.content.figures import (
    count_plots,
    operator_bars,
    percentiles,
    size_bars,
    slowed_stretches,
    state_plots,
    timing_plots,
)
from edgedeploy.report.content.layers import noise_in_words, noise_plot, noisiest
from edgedeploy.report.content.regressions import HEAD, breakages, broken_in_words, class_row
from edgedeploy.report.content.wording import (
    NOT_A_LATENCY,
    OUTCOME_SIGNS,
    UNITS_IN_WORDS,
    limit_and_figure,
    limit_name,
    outcome_in_words,
    pass_outcome,
    relation,
    sent_in_words,
    sqnr_in_words,
    state_in_words,
    verdict_counts,
    where_in_words,
)
from edgedeploy.values.contract import Outcome
from edgedeploy.values.measurement import Conditions, Measurement
from edgedeploy.values.quality import Agreement
from edgedeploy.values.shipment import Shipment

if TYPE_CHECKING:
    from markupsafe import Markup

_TONES = {Outcome.HOLDS: "holds", Outcome.BREAKS: "breaks", Outcome.NOT_DETERMINED: "open"}
_ANSWERS = {
    Outcome.HOLDS: "The contract holds",
    Outcome.BREAKS: "The contract is broken",
    Outcome.NOT_DETERMINED: "Not determined whether the contract holds",
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
        loader=jinja2.PackageLoader("edgedeploy", "report/exports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    evidence, measurement = shipment.evidence, shipment.measurement
    timing = measurement.timing if measurement else None
    count = measurement.count if measurement and measurement.count and measurement.count.samples else None
    answer, outcome = _answer(shipment)
    return environment.get_template("page.html.jinja").render(
        shipment=shipment,
        contract=shipment.contract,
        evidence=evidence,
        measurement=measurement,
        search=evidence.search,
        front=_as_address(front_svg(evidence.search)) if evidence.search else "",
        timing=timing,
        profile=shipment.profile,
        profile_unit=UNITS_IN_WORDS[shipment.profile.unit] if shipment.profile else "",
        answer=answer,
        mark=OUTCOME_SIGNS[outcome],
        tone=_TONES[outcome],
        counts=verdict_counts(shipment.verdict) if shipment.verdict else "",
        outcome_in_words=outcome_in_words,
        pass_outcome=pass_outcome,
        sent_in_words=sent_in_words,
        tones=_TONES,
        rows=comparison(shipment),
        labels_are_missing=_labels_are_missing(shipment),
        agreements=_agreements(shipment),
        count=count,
        percentiles=percentiles(timing) if timing else (),
        clock=f"{NOT_A_LATENCY}, in ms" if timing and timing.clock == "emulated" else "latency in ms",
        # SVG of our own making, whose words are escaped: the one thing that is not escaped again.
        size_bars=Markup(size_bars(evidence)),  # noqa: S704
        operator_bars=Markup(operator_bars(evidence)),  # noqa: S704
        slowed=bool(slowed_stretches(timing)) if timing else False,
        state_plots=[(name, unit, Markup(plot)) for name, unit, plot in state_plots(timing)] if timing else (),  # noqa: S704
        validity_tones={"stable": "holds", "unstable": "open", "invalid": "breaks"},
        timing_plots=[Markup(plot) for plot in timing_plots(timing)] if timing else (),  # noqa: S704
        count_plots=[Markup(plot) for plot in count_plots(count)] if count else (),  # noqa: S704
        state=state_in_words(measurement.conditions) if measurement else "",
        breakages=breakages(shipment),
        noisiest=noisiest(evidence.layers),
        noise_in_words=noise_in_words,
        noise_plot=Markup(noise_plot(evidence.layers)),  # noqa: S704
        broken_in_words=broken_in_words,
        class_row=class_row,
        class_head=HEAD,
        conditions=_conditions(measurement) if measurement else (),
        commands=_commands(shipment),
        bytes=bytes_in_words,
        ms=milliseconds,
        sqnr=sqnr_in_words,
        limit_and_figure=limit_and_figure,
        limit_name=limit_name,
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
    return "Not judged", Outcome.NOT_DETERMINED


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
    """Return a dotted key that may be broken after a dot or an underscore, and nowhere else."""
    from markupsafe import Markup, escape

    text = str(escape(key))
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
        found += [(f"its output {name}", one) for name, one in measurement.accuracy.by_output.items()]
    if measurement and measurement.golden:
        found.append(("device against the bundle's golden outputs", measurement.golden))
    return found


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
