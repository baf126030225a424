"""Shapes and element types of intermediate values, as far as they follow from the inputs."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from edgedeploy.optimize.contract import Context, Facts, Pass, Refused, first_line
from edgedeploy.optimize.shapes import forget_shapes, infer_shapes


class InferShapes(Pass, frozen=True):
    """Infer the shapes of intermediate values, as far as they can be told.

    Shapes that the file gives for intermediate values are dropped first: exporters write those of the batch that they
    traced, and a wrong shape that is folded into a constant is a wrong model. Values behind an operator that onnx does
    not know stay without a shape; that is no failure.
    """

    tolerance: ClassVar[float | None] = 0.0

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        forget_shapes(model)
        if (failure := infer_shapes(model)) is not None:
            raise Refused(f"onnx's shape inference gave up: {first_line(failure)}") from failure
        values = [value for node in model.graph for value in node.outputs]
        return model, {"values": len(values), "values_with_shape": sum(value.shape is not None for value in values)}
