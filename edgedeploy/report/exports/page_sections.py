"""What each section of the page shows, as values by the names that `page.html.jinja` uses."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, Any

from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.plots.confusion_matrix import confusion_matrix
from edgedeploy.plots.marked_picture import ANSWER_STYLES, marked_picture
from edgedeploy.plots.pareto_plot import front_svg
from edgedeploy.plots.png import data_address
from edgedeploy.plots.sparkline import sparkline
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
from edgedeploy.report.content.layers import noise_plot, noisiest
from edgedeploy.report.content.regressions import Breakage, breakages
from edgedeploy.report.content.wording import (
    NOT_A_LATENCY,
    OUTCOME_SIGNS,
    UNITS_IN_WORDS,
    WORK,
    state_in_words,
    verdict_counts,
    where_in_words,
)
from edgedeploy.report.exports.page_text import svg_address
from edgedeploy.values.contract import Outcome
from edgedeploy.values.evidence import Evidence
from edgedeploy.values.measurement import Conditions, Measurement
from edgedeploy.values.profile import Profile
from edgedeploy.values.quality import Agreement
from edgedeploy.values.sample_preview import SamplePreview
from edgedeploy.values.shipment import Shipment

if TYPE_CHECKING:
    from markupsafe import Markup

Section = dict[str, Any]

TONES = {Outcome.HOLDS: "holds", Outcome.BREAKS: "breaks", Outcome.NOT_DETERMINED: "open"}
"""The page's classes of colour, by outcome."""
_VALIDITY_TONES = {"stable": "holds", "unstable": "open", "invalid": "breaks"}
_ANSWERS = {
    Outcome.HOLDS: "The contract holds",
    Outcome.BREAKS: "The contract is broken",
    Outcome.NOT_DETERMINED: "Not determined whether the contract holds",
}


def headline(shipment: Shipment) -> Section:
    """Return the answer, and how many lines of the contract hold."""
    answer, outcome = _answer(shipment)
    return {
        "answer": answer,
        "mark": OUTCOME_SIGNS[outcome],
        "tone": TONES[outcome],
        "counts": verdict_counts(shipment.verdict) if shipment.verdict else "",
    }


def before_and_after(shipment: Shipment) -> Section:
    """Return sizes and quality of the model before and after, what broke, and what a search tried."""
    evidence = shipment.evidence
    return {
        "rows": comparison(shipment),
        "size_bars": _drawn(size_bars(evidence)),
        "operator_bars": _drawn(operator_bars(evidence)),
        "labels_are_missing": _labels_are_missing(shipment),
        "agreements": _agreements(shipment),
        "breakages": breakages(shipment),
        "worst_samples": [_shown(preview) for preview in shipment.previews],
        "search": evidence.search,
        "front": svg_address(front_svg(evidence.search)) if evidence.search else "",
    }


def noise(evidence: Evidence) -> Section:
    """Return the layers that add most noise, and the noise of all."""
    return {"noisiest": noisiest(evidence.layers), "noise_plot": _drawn(noise_plot(evidence.layers))}


def latency(measurement: Measurement | None) -> Section:
    """Return the timing with its plots; `timing` is None where nothing was timed."""
    timing = measurement.timing if measurement else None
    if measurement is None or timing is None:
        return {"timing": None}
    return {
        "timing": timing,
        "percentiles": percentiles(timing),
        "clock": f"{NOT_A_LATENCY}, in ms" if timing.clock == "emulated" else "latency in ms",
        "timing_plots": [_drawn(plot) for plot in timing_plots(timing)],
        "state_plots": [(name, unit, _drawn(plot)) for name, unit, plot in state_plots(timing)],
        "slowed": bool(slowed_stretches(timing)),
        "state": state_in_words(measurement.conditions),
        "validity_tones": _VALIDITY_TONES,
    }


def work(measurement: Measurement | None) -> Section:
    """Return counted instructions with their plots; `count` is None where nothing was counted."""
    count = measurement.count if measurement else None
    if count is None or not count.samples:
        return {"count": None}
    return {"count": count, "count_plots": [_drawn(plot) for plot in count_plots(count)], "work": WORK}


def operators(profile: Profile | None) -> Section:
    """Return the profile by operator, and the words for its unit."""
    return {"profile": profile, "profile_unit": UNITS_IN_WORDS[profile.unit] if profile else ""}


def confusion(breakage: Breakage) -> Markup | str:
    """Draw which classes are taken for which; nothing where that was not counted."""
    matrix = breakage.classes.confusion if breakage.classes else None
    if matrix is None:
        return ""
    names = (*(matrix.names or map(str, matrix.classes)), *(("other",) if matrix.others else ()))
    return _drawn(confusion_matrix(names, matrix.counts, f"What {breakage.after} takes for what"))


def conditions(measurement: Measurement | None) -> Section:
    """Return what the device reported of itself, as names and words."""
    if measurement is None:
        return {"conditions": ()}
    found = measurement.conditions
    rows: list[tuple[str, str | None]] = [
        ("machine", found.machine),
        ("board", found.board),
        ("CPU", f"{found.cpu}, {found.cores} cores"),
        ("features", " ".join(found.cpu_features)),
        ("kernel", found.kernel),
        ("system", found.os),
        ("emulated", "yes (QEMU)" if found.emulated else "no"),
        ("virtual machine", found.virtual_machine and f"yes ({found.virtual_machine}): others may share its cores"),
        ("memory", _memory(found)),
        ("load average", None if found.load_average_1min is None else f"{found.load_average_1min:.2f}"),
        ("temperature", None if found.temperature_c is None else f"{found.temperature_c:.1f} °C"),
        ("governor", found.governor),
        ("Python", found.python),
        ("runtime", ", ".join(f"{name} {version}" for name, version in found.runtime.items())),
        ("peak memory of the runner", _bytes(measurement.peak_rss_bytes)),
    ]
    return {"conditions": [(name, words or "not reported") for name, words in rows]}


def reproduction(shipment: Shipment) -> Section:
    """Return the commands that ship the model again and take it back; names in capitals are to be filled in."""
    device = shlex.quote(shipment.device)
    options = f" --target {shlex.quote(shipment.evidence.target)}" if shipment.evidence.target else ""
    if shipment.measurement and shipment.measurement.timing:
        options += f" --profile {shlex.quote(shipment.measurement.timing.profile)}"
    commands = [f"edgedeploy ship CONTRACT {device}{options} --report FOLDER"]
    if shipment.release:
        name = shlex.quote(shipment.contract.name)
        commands += [f"edgedeploy releases {device}", f"edgedeploy rollback {device} --name {name}"]
    return {"commands": commands}


def _shown(preview: SamplePreview) -> Section:
    """Return a preview with its picture, where it has one, as an address or as a drawing."""
    address = data_address(preview.png) if preview.png else ""
    finite = [value for value in preview.values if math.isfinite(value)]
    title = f"sample {preview.place}, {preview.input}"
    line = _drawn(sparkline(finite, title)) if finite else ""
    if preview.png and any(answer.objects for answer in preview.answers):
        line, address = _drawn(marked_picture(preview.png, _extents(preview.shape), preview.answers, title)), ""
    answers = [
        {"answer": answer, "style": style, "mask": data_address(answer.mask) if answer.mask else ""}
        for answer, style in zip(preview.answers, ANSWER_STYLES, strict=False)
    ]
    return {"preview": preview, "address": address, "line": line, "title": title, "answers": answers}


def _extents(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of an array that was drawn as a picture, whatever its layout."""
    sides = [extent for extent in shape if extent not in (1, 3)] or list(shape)
    return sides[0], sides[-1]


def _drawn(svg: str) -> Markup:
    """Mark an SVG as safe: it is made here, and its words are escaped. It is the one thing not escaped again."""
    from markupsafe import Markup

    return Markup(svg)  # noqa: S704


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


def _agreements(shipment: Shipment) -> list[tuple[str, Agreement]]:
    found = []
    for execution in shipment.evidence.executions:
        found.append((f"optimized against float on the host: {where_in_words(execution)}", execution.agreement))
        found += [(f"its output {name}", agreement) for name, agreement in execution.by_output.items()]
        found += [(f"its channels {name}", agreement) for name, agreement in execution.by_group.items()]
    measurement = shipment.measurement
    if measurement and measurement.accuracy:
        found.append(("device against host, the same model", measurement.accuracy.agreement))
        found += [(f"its output {name}", agreement) for name, agreement in measurement.accuracy.by_output.items()]
        found += [(f"its channels {name}", agreement) for name, agreement in measurement.accuracy.by_group.items()]
    if measurement and measurement.golden:
        found.append(("device against the bundle's golden outputs", measurement.golden))
    return found


def _memory(found: Conditions) -> str | None:
    total, available = _bytes(found.memory_total_bytes), _bytes(found.memory_available_bytes)
    return f"{total}, {available} available" if total and available else total


def _bytes(count: int | None) -> str | None:
    return None if count is None else bytes_in_words(count)
