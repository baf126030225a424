"""A measurement as tables in the terminal."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from edgedeploy.foundation.units import bytes_in_words, milliseconds
from edgedeploy.report.content.regressions import device_breakage
from edgedeploy.report.content.wording import (
    NOT_A_LATENCY,
    WORK,
    kept_in_words,
    metric_in_words,
    sqnr_in_words,
    state_in_words,
)
from edgedeploy.report.terminal.regressions import breakage_parts
from edgedeploy.values.measurement import Accuracy, InstructionCount, Measurement, Timing, Validity
from edgedeploy.values.quality import Agreement

_SHOWN_SKIPPED = 3


def measurement_tables(measurement: Measurement) -> tuple[RenderableType, ...]:
    """One table: where and what was measured, then each figure that is there; then what broke, if anything did."""
    conditions = measurement.conditions
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()

    def row(name: str, value: str) -> None:
        table.add_row(name, Text(value))

    row("device", f"{measurement.device} ({conditions.machine}, {conditions.cpu}, {conditions.cores} cores)")
    row("system", f"{conditions.os}, {conditions.kernel}, Python {conditions.python}")
    if conditions.virtual_machine:
        row("", f"a virtual machine ({conditions.virtual_machine}): others may share its cores")
    if state := state_in_words(conditions):
        row("state", state)
    row("release", f"{measurement.release.name} {measurement.release.id} for {measurement.release.target}")
    if measurement.timing:
        _timing_rows(table, measurement.timing)
        if measurement.timing.validity is not None:
            _validity_rows(table, measurement.timing.validity)
    if measurement.count:
        _count_rows(table, measurement.count)
    if measurement.accuracy:
        _accuracy_rows(table, measurement.accuracy)
    if measurement.golden:
        row("golden", agreement_in_words(measurement.golden))
    if measurement.peak_rss_bytes is not None:
        now = f"; {bytes_in_words(measurement.rss_bytes)} once done" if measurement.rss_bytes is not None else ""
        share = f", {bytes_in_words(measurement.pss_bytes)} proportional" if measurement.pss_bytes is not None else ""
        row("peak memory", f"{bytes_in_words(measurement.peak_rss_bytes)} (resident, runtime included){now}{share}")
    broken = device_breakage(measurement.accuracy) if measurement.accuracy else None
    return (table, *(breakage_parts(broken) if broken else ()))


def agreement_in_words(agreement: Agreement) -> str:
    """`"top-1 match 99.80%, SQNR 31.2 dB, cosine 0.99960, largest error 0.0123 (600 samples)"`."""
    parts = []
    if agreement.top1_match is not None:
        parts.append(f"top-1 match {agreement.top1_match:.2%}")
    if agreement.text_match is not None:
        parts.append(f"text match {agreement.text_match:.2%}")
    if agreement.nonfinite_elements:
        parts.append(f"{agreement.nonfinite_elements:,} elements not finite")
    if agreement.other_shapes:
        parts.append(f"{agreement.other_shapes:,} answers of another shape")
    # Text has no error; where the numbers beside it have none either, there is nothing more to say.
    if agreement.text_match is None or agreement.sqnr_db is not None:
        parts.append("equal" if agreement.sqnr_db is None else f"SQNR {sqnr_in_words(agreement)}")
        parts.append(f"cosine {agreement.cosine:.5f}")
        parts.append(f"largest error {agreement.max_abs_error:.3g}")
    return f"{', '.join(parts)} ({agreement.samples} samples)"


def _known_ms(duration_ms: float | None) -> str:
    return "not determined" if duration_ms is None else milliseconds(duration_ms)


def _timing_rows(table: Table, timing: Timing) -> None:
    summary = timing.summary
    name = NOT_A_LATENCY if timing.clock == "emulated" else "latency"
    known = [("min", summary.min_ms), ("p50", summary.p50_ms), ("mean", summary.mean_ms)]
    known += [
        (name, value)
        for name, value in (("p90", summary.p90_ms), ("p95", summary.p95_ms), ("p99", summary.p99_ms))
        if value is not None
    ]
    figures = ", ".join(f"{name} {milliseconds(value)}" for name, value in known)
    table.add_row(name, f"{figures} (n = {summary.n}, MAD {milliseconds(summary.mad_ms)})")
    imported = f"import {milliseconds(timing.import_ms)}, " if timing.import_ms is not None else ""
    before = f"{imported}load {_known_ms(timing.load_ms)}, first inference {_known_ms(timing.first_inference_ms)}"
    table.add_row("", before)
    if timing.cold_load_ms is not None and timing.cold_import_ms is not None:
        cold = f"from its disk: import {milliseconds(timing.cold_import_ms)}, load {milliseconds(timing.cold_load_ms)}"
        table.add_row("", cold)
    if timing.energy_mj is not None:
        table.add_row("energy", f"{timing.energy_mj:.3g} mJ per inference, by the board's sensor, all that it draws")
    for note in summary.notes:
        table.add_row("", Text(note, style="dim"))


def _validity_rows(table: Table, validity: Validity) -> None:
    style = {"stable": "green", "unstable": "yellow", "invalid": "bold red"}[validity.outcome]
    table.add_row("measurement", Text(validity.outcome, style=style))
    for warning in validity.warnings:
        table.add_row("", Text(f"{warning.reason}: {warning.hint}"))


def _count_rows(table: Table, count: InstructionCount) -> None:
    figures = f"{count.per_inference:,.0f} per inference (p50, n = {count.n}, MAD {count.mad:,.0f})"
    table.add_row("instructions", f"{figures}; {WORK}")
    table.add_row("", f"least {count.least:,}, most {count.most:,}, first inference {count.first_inference:,}")
    known = (("import", count.runtime_import), ("load", count.load))
    if before := ", ".join(f"{name} {value:,}" for name, value in known if value is not None):
        table.add_row("", before)


def _accuracy_rows(table: Table, accuracy: Accuracy) -> None:
    if accuracy.metric:
        host = (
            f", {metric_in_words(accuracy.host_metric)} on the host in exact arithmetic" if accuracy.host_metric else ""
        )
        part = f", over the first {accuracy.samples:,} samples only" if accuracy.partial else ""
        table.add_row(Text(accuracy.metric.name), f"{metric_in_words(accuracy.metric)} on the device{host}{part}")
    else:
        table.add_row("metric", "none: the dataset has no labels")
    if accuracy.skipped:
        first = "; ".join(accuracy.skipped_samples[:_SHOWN_SKIPPED])
        more = "; …" if accuracy.skipped > _SHOWN_SKIPPED else ""
        said = f"{accuracy.skipped:,} samples that cannot be read: {first}{more}"
        table.add_row("left out", Text(said, style="yellow"))
    table.add_row("agreement", f"with the host: {agreement_in_words(accuracy.agreement)}")
    if accuracy.kept is not None:
        table.add_row(f"{accuracy.kept.what} kept", kept_in_words(accuracy.kept))
    for name, agreement in (accuracy.by_output | accuracy.by_group).items():
        table.add_row("", Text(f"{name}: {agreement_in_words(agreement)}"))
