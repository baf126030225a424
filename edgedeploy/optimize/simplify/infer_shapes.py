"""Shapes and element types of intermediate values, as far as they follow from the inputs."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from edgedeploy.foundation.sanitize import first_line
from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped
from edgedeploy.optimize.graph.runtime_shapes import tell_shapes


class InferShapes(Pass, frozen=True):
    """Infer the shapes of intermediate values, as far as they can be told.

    Shapes that the file gives for intermediate values are dropped first: exporters write those of the batch that they
    traced, and a wrong shape that is folded into a constant is a wrong model. What onnx cannot tell is looked at on
    sample inputs; of that, a rank is written down where it cannot be another, and an extent only where all inputs are
    of fixed size. Values behind an operator that onnx does not know stay without a shape; that is no failure.
    """

    tolerance: ClassVar[float | None] = 0.0

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        observed, failure = tell_shapes(model, context.probes)
        values = [value for node in model.graph for value in node.outputs]
        with_shape = sum(value.shape is not None for value in values)
        if failure is not None and not observed:
            raise PassSkipped(f"onnx's shape inference gave up: {first_line(failure)}") from failure
        return model, {"values": len(values), "values_with_shape": with_shape, "values_observed": observed}
