"""The model as it came against the model on the device: the rows that terminal and page both show."""

from __future__ import annotations

from msgspec import Struct, structs

from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.report.content.wording import (
    interval_in_words,
    kept_in_words,
    metric_change,
    metric_in_words,
    percent_change,
    speed_in_words,
    where_in_words,
)
from edgedeploy.values.evidence import Evidence
from edgedeploy.values.measurement import Accuracy
from edgedeploy.values.quality import AnswersKept, MetricChange, MetricFigure
from edgedeploy.values.shipment import Shipment
from edgedeploy.values.speed import SpeedFigure


class Row(Struct, frozen=True):
    """One quantity, in words."""

    what: str
    before: str
    after: str
    change: str
    exact: str = ""
    """The figures before and after in full, where words round them."""


def comparison(shipment: Shipment) -> tuple[Row, ...]:
    """Return the rows on size, parameters and work, then on the metric wherever it was measured, and on speed."""
    evidence = shipment.evidence
    rows = _size_rows(evidence)
    for execution in evidence.executions:
        where = where_in_words(execution)
        rows += _metric_row(where, evidence.source_metric, execution.metric, execution.change)
        rows += _kept_row(where, execution.kept)
    if evidence.speed is not None:
        rows.append(_speed_row(evidence.speed))
    rows += _device_row(shipment)
    return tuple(rows)


def _size_rows(evidence: Evidence) -> list[Row]:
    source, result = evidence.source, evidence.result
    if result is None:
        return []
    rows = [
        Row(
            "size",
            bytes_in_words(source.size_bytes),
            bytes_in_words(result.size_bytes),
            percent_change(source.size_bytes, result.size_bytes),
            f"{source.size_bytes:,} → {result.size_bytes:,} bytes",
        ),
        Row(
            "parameters",
            f"{source.parameters:,}",
            f"{result.parameters:,}",
            percent_change(source.parameters, result.parameters),
        ),
    ]
    if source.macs is not None and result.macs is not None:
        change = percent_change(source.macs, result.macs) if source.macs != result.macs else ""
        rows.append(Row("MACs", f"{source.macs:,}", f"{result.macs:,}", change))
    return rows


def _speed_row(speed: SpeedFigure) -> Row:
    low, high = percent_change(1.0, speed.low), percent_change(1.0, speed.high)
    return Row(
        f"{speed.currency} ({speed.where})",
        speed_in_words(speed.source, speed),
        speed_in_words(speed.result, speed),
        f"{percent_change(1.0, speed.ratio)} ({low} … {high})",
        f"{speed.source} → {speed.result} {speed.unit}, {speed.samples:,} samples",
    )


def _kept_row(where: str, kept: AnswersKept | None) -> list[Row]:
    if kept is None:
        return []
    return [Row(f"{kept.what} kept ({where})", f"{kept.count:,}", kept_in_words(kept), f"{kept.share:.1%} the same")]


def _device_row(shipment: Shipment) -> list[Row]:
    measurement, evidence = shipment.measurement, shipment.evidence
    if measurement is None or measurement.accuracy is None:
        return []
    accuracy = measurement.accuracy
    where = f"device ({measurement.conditions.cpu})"
    if accuracy.partial:
        where += f", first {accuracy.samples:,} samples only"
    if accuracy.skipped:
        where += f", {accuracy.skipped:,} that cannot be read left out"
    is_comparable = _is_over_same_data(accuracy, evidence.evaluation_sha256)
    return _metric_row(where, evidence.source_metric if is_comparable else None, accuracy.metric)


def _is_over_same_data(accuracy: Accuracy, evaluation_sha256: str | None) -> bool:
    """Whether the device ran exactly the data that the float model was judged by: only then can a drop be given."""
    return not accuracy.partial and accuracy.evaluation_sha256 == evaluation_sha256


def _metric_row(
    where: str, before: MetricFigure | None, after: MetricFigure | None, change: MetricChange | None = None
) -> list[Row]:
    if after is None:
        return []
    part = ""
    if before and change is not None and after.samples < before.samples:
        # A board ran a part of the samples: the float model is shown on that part, which the paired change tells.
        part = f", {after.samples:,} of {before.samples:,} samples"
        before = structs.replace(before, value=after.value - change.value, samples=after.samples)
    difference = metric_change(before, after) if before else ""
    if before and change is not None:
        difference += f" ({interval_in_words(after, change)})"
    return [
        Row(
            f"{after.name}, {where}{part}",
            metric_in_words(before) if before else "–",
            metric_in_words(after),
            difference,
            f"{before.value if before else '–'} → {after.value}, {after.samples:,} samples",
        )
    ]
