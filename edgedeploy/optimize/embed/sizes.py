"""Sizes of a picture as values of a graph: constants for pictures of one size, else computed from the picture's own.

The same arithmetic as `edgedeploy.datasets.preprocessing.steps.plan`, in int64 and float64, so to the last pixel.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.datasets.preprocessing.steps import PictureSteps
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.values.preprocessing import ImagePreprocessing

_NAME = "picture"


class GraphSizes(Struct, frozen=True, eq=False):
    """Each int64, shape (2,): of height and width."""

    resized: ir.Value | None
    """None where nothing is resized."""
    before: ir.Value | None
    """Rows and columns that are added at the top and left; None without bars."""
    after: ir.Value | None
    corner: ir.Value | None
    """None where all is kept."""
    kept: ir.Value | None


def constant_sizes(builder: GraphBuilder, steps: PictureSteps, source: tuple[int, int]) -> GraphSizes:
    """Return the sizes for pictures of one size."""

    def constant(values: tuple[int, int]) -> ir.Value:
        return builder.initializer(f"{_NAME}:size", np.array(values, np.int64))

    top, left, bottom, right = steps.padding
    padded = (steps.resized[0] + top + bottom, steps.resized[1] + left + right)
    cropped = steps.size != padded
    return GraphSizes(
        resized=constant(steps.resized) if steps.resized != source else None,
        before=constant((top, left)) if any(steps.padding) else None,
        after=constant((bottom, right)) if any(steps.padding) else None,
        corner=constant(steps.corner) if cropped else None,
        kept=constant((steps.corner[0] + steps.size[0], steps.corner[1] + steps.size[1])) if cropped else None,
    )


class SizeBuilder:
    """Computes sizes from the shape of a picture in a graph."""

    def __init__(self, builder: GraphBuilder, picture: ir.Value) -> None:
        """
        Args:
            picture: shape (batch, height, width, channels).
        """
        self._builder = builder
        shape = self._op("Shape", picture)
        self._source = self._op("Slice", shape, self._whole(1), self._whole(3))
        self._real = self._op("Cast", self._source, to=int(ir.DataType.DOUBLE))

    def sizes(self, declared: ImagePreprocessing, wanted: tuple[int, int]) -> GraphSizes:
        """Return the sizes for pictures of any size.

        Args:
            wanted: height and width after resizing; of `shorter-side`, the first counts.
        """
        before = after = None
        resized: ir.Value | None
        if declared.resize == "none":
            resized, whole = None, self._source
        elif declared.resize == "stretch":
            resized = whole = self._whole(*wanted)
        elif declared.resize == "shorter-side":
            longer = self._op("Mul", self._source, self._whole(wanted[0]))
            resized = whole = self._op("Div", longer, self._smaller(self._source))
        else:
            resized = self._fitting(declared, wanted)
            before, after = self._bars(declared, wanted, resized)
            whole = self._whole(*wanted)
        if declared.crop is None:
            return GraphSizes(resized, before, after, None, None)
        kept = self._whole(*declared.crop)
        spare = self._op("Cast", self._op("Sub", whole, kept), to=int(ir.DataType.DOUBLE))
        corner = self._integers(self._op("Round", self._op("Mul", spare, self._number(0.5))))
        return GraphSizes(resized, before, after, corner, self._op("Add", corner, kept))

    def _fitting(self, declared: ImagePreprocessing, wanted: tuple[int, int]) -> ir.Value:
        ratio = self._smaller(self._op("Div", self._number(*wanted), self._real))
        if not declared.letterbox_enlarge:
            ratio = self._op("Min", ratio, self._number(1))
        rounded = self._op("Round", self._op("Mul", self._real, ratio))
        return self._integers(self._op("Max", rounded, self._number(1)))

    def _bars(
        self, declared: ImagePreprocessing, wanted: tuple[int, int], resized: ir.Value
    ) -> tuple[ir.Value, ir.Value]:
        bars = self._op("Sub", self._whole(*wanted), resized)
        if not declared.letterbox_center:
            return self._whole(0, 0), bars
        half = self._op("Mul", self._op("Cast", bars, to=int(ir.DataType.DOUBLE)), self._number(0.5))
        before = self._integers(self._op("Round", self._op("Sub", half, self._number(0.1))))
        return before, self._op("Sub", bars, before)

    def _smaller(self, pair: ir.Value) -> ir.Value:
        first = self._op("Slice", pair, self._whole(0), self._whole(1))
        return self._op("Min", first, self._op("Slice", pair, self._whole(1), self._whole(2)))

    def _integers(self, value: ir.Value) -> ir.Value:
        return self._op("Cast", value, to=int(ir.DataType.INT64))

    def _whole(self, *values: int) -> ir.Value:
        return self._builder.initializer(f"{_NAME}:number", np.array(values, np.int64))

    def _number(self, *values: float) -> ir.Value:
        return self._builder.initializer(f"{_NAME}:number", np.array(values, np.float64))

    def _op(self, operator: str, *inputs: ir.Value, **attributes: int) -> ir.Value:
        return self._builder.op(operator, inputs, f"{_NAME}:{operator.lower()}", attributes=attributes)
