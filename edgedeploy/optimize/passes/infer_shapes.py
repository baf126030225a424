"""Shapes and element types of intermediate values, as far as they follow from the inputs."""

from __future__ import annotations

import logging
from typing import ClassVar

import onnx
import onnx_ir as ir

from edgedeploy.optimize.contract import Context, Facts, Pass, Refused, first_line
from edgedeploy.optimize.graph import all_nodes

_log = logging.getLogger(__name__)


class InferShapes(Pass, frozen=True):
    """Infer the shapes of intermediate values, as far as they can be told.

    Shapes that the file gives for intermediate values are dropped first: exporters write those of the batch that they
    traced, and a wrong shape that is folded into a constant is a wrong model. Values behind an operator that onnx does
    not know stay without a shape; that is no failure.
    """

    tolerance: ClassVar[float | None] = 0.0

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        for value in (*model.graph.inputs, *model.graph.outputs):
            _forget_negative_extents(value)
        interface = set(model.graph.outputs)
        for node in all_nodes(model):
            for value in node.outputs:
                if value not in interface:
                    value.shape, value.type = None, None
        try:
            # Not strict: one operator that cannot be told must not cost the others their shapes.
            inferred = onnx.shape_inference.infer_shapes(
                ir.to_proto(model), check_type=False, strict_mode=False, data_prop=True
            )
        except Exception as error:
            # The library reports a model it cannot take with half a dozen exception types, RuntimeError among them.
            _log.debug("onnx.shape_inference", exc_info=True)
            raise Refused(f"onnx's shape inference gave up: {first_line(error)}") from error
        known = ir.convenience.create_value_mapping(ir.from_proto(inferred).graph, include_subgraphs=False)
        told = total = 0
        for node in model.graph:
            for value in node.outputs:
                source = known.get(value.name or "")
                if value not in interface and source is not None:
                    value.shape, value.type = source.shape, source.type
                total += 1
                told += value.shape is not None
        return model, {"values": total, "values_with_shape": told}


def _forget_negative_extents(value: ir.Value) -> None:
    """Exporters write -1 for «dynamic»; onnx takes it for an extent and infers nonsense from it."""
    if value.shape is not None and any(isinstance(extent, int) and extent < 0 for extent in value.shape):
        value.shape = ir.Shape([None if isinstance(extent, int) and extent < 0 else extent for extent in value.shape])
