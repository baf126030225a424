"""The model as it came against the model on the device: the rows that terminal and page both show."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.report.wording import bytes_in_words, percent_change
from edgedeploy.values.quality import MetricFigure
from edgedeploy.values.shipment import Shipment


class Row(Struct, frozen=True):
    what: str
    before: str
    after: str
    change: str


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
        where = "exact arithmetic" if execution.arithmetic == "exact" else f"host ({execution.isa})"
        rows += _metric_row(where, float_metric, execution.metric)
    if shipment.measurement and shipment.measurement.accuracy:
        rows += _metric_row(
            f"device ({shipment.measurement.conditions.cpu})", float_metric, shipment.measurement.accuracy.metric
        )
    return tuple(rows)


def _metric_row(where: str, before: MetricFigure | None, after: MetricFigure | None) -> list[Row]:
    if after is None:
        return []
    change = f"{(after.value - before.value) * 100:+.2f} points".replace("-", "−") if before else ""
    return [Row(f"{after.name}, {where}", f"{before.value:.2%}" if before else "–", f"{after.value:.2%}", change)]
