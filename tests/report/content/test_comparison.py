"""Before and after are figures over the same samples."""

from __future__ import annotations

from msgspec import structs
from support import sample_shipment as sample

from edgedeploy.report.content.comparison import comparison
from edgedeploy.values.evidence import Execution
from edgedeploy.values.quality import MetricChange, MetricFigure


def test_a_board_that_ran_a_part_is_beside_the_float_model_on_that_part() -> None:
    shipment = sample.shipment()
    (first, *_) = shipment.evidence.executions
    on_board = Execution(
        arithmetic="board",
        isa="board:rpi4 (cortex-a72)",
        metric=MetricFigure(name="top1", value=0.97, samples=100),
        change=MetricChange(value=0.01, low=-0.01, high=0.03, confidence=0.95, samples=100, samples_changed=3),
        agreement=first.agreement,
    )
    evidence = structs.replace(
        shipment.evidence,
        source_metric=MetricFigure(name="top1", value=0.9, samples=600),
        executions=(on_board,),
    )
    (row,) = [row for row in comparison(structs.replace(shipment, evidence=evidence)) if "(cortex-a72), " in row.what]
    assert row.what.endswith(", 100 of 600 samples")
    assert (row.before, row.after) == ("96.00%", "97.00%")
    assert row.change.startswith("+1.00 points (")
    assert row.exact == "0.96 → 0.97, 100 samples"
