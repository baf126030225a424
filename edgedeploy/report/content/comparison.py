"""The model as it came against the model on the device: the rows that terminal and page both show."""

from __future__ import annotations

from msgspec import Struct, structs

from edgedeploy.foundation.units import bytes_in_words
from edgedeploy.report.content.wording import (
    interval_in_words,
    metric_change,
    metric_in_words,
    percent_change,
    speed_in_words,
    where_in_words,
)
from edgedeploy.values.measurement import Accuracy
from edgedeploy.values.quality import MetricChange, MetricFigure
from edgedeploy.values.shipment import Shipment


class Row(Struct, frozen=True):
    what: str
    before: str
    after: str
    change: str
    exact: str = ""
    """The figures before and after in full, where words round them."""


def comparison(shipment: Shipment) -> tuple[Row, ...]:
    """Size, parameters and work, then the metric wherever it was measured."""
    source, result = shipment.evidence.source, shipment.evidence.result
    rows = []
    if result:
        rows.append(
            Row(
                "size",
                bytes_in_words(source.size_bytes),
                bytes_in_words(result.size_bytes),
                percent_change(source.size_bytes, result.size_bytes),
                f"{source.size_bytes:,} → {result.size_bytes:,} bytes",
            )
        )
        rows.append(
            Row(
                "parameters",
                f"{source.parameters:,}",
                f"{result.parameters:,}",
                percent_change(source.parameters, result.parameters),
            )
        )
        if source.macs is not None and result.macs is not None:
            change = percent_change(source.macs, result.macs) if source.macs != result.macs else ""
            rows.append(Row("MACs", f"{source.macs:,}", f"{result.macs:,}", change))
    float_metric = shipment.evidence.source_metric
    for execution in shipment.evidence.executions:
        rows += _metric_row(where_in_words(execution), float_metric, execution.metric, execution.change)
    if (speed := shipment.evidence.speed) is not None:
        rows.append(
            Row(
                f"{speed.currency} ({speed.where})",
                speed_in_words(speed.source, speed),
                speed_in_words(speed.result, speed),
                f"{percent_change(1.0, speed.ratio)} "
                f"({percent_change(1.0, speed.low)} … {percent_change(1.0, speed.high)})",
                f"{speed.source} → {speed.result} {speed.unit}, {speed.samples:,} samples",
            )
        )
    if shipment.measurement and (accuracy := shipment.measurement.accuracy):
        where = f"device ({shipment.measurement.conditions.cpu})"
        if accuracy.partial:
            where += f", first {accuracy.samples:,} samples only"
        comparable = _is_over_same_data(accuracy, shipment.evidence.evaluation_sha256)
        rows += _metric_row(where, float_metric if comparable else None, accuracy.metric)
    return tuple(rows)


def _is_over_same_data(accuracy: Accuracy, evaluation_sha256: str | None) -> bool:
    """Whether the device ran all that the float model was judged by, and nothing else: only then is a drop one."""
    return not accuracy.partial and accuracy.evaluation_sha256 == evaluation_sha256


def _metric_row(
    where: str, before: MetricFigure | None, after: MetricFigure | None, change: MetricChange | None = None
) -> list[Row]:
    if after is None:
        return []
    told = metric_change(before, after) if before else ""
    part = ""
    if before and change is not None:
        # Paired: of a board that ran a part of the samples, against the float model on that part.
        told = metric_change(before, structs.replace(before, value=before.value + change.value))
        told += f" ({interval_in_words(after, change)})"
        part = f", {after.samples:,} of {before.samples:,} samples" if after.samples < before.samples else ""
    return [
        Row(
            f"{after.name}, {where}{part}",
            metric_in_words(before) if before else "–",
            metric_in_words(after),
            told,
            f"{before.value if before else '–'} → {after.value}, {after.samples:,} samples",
        )
    ]
