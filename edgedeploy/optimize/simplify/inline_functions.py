"""Functions that a model brings along become the nodes that they stand for."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir
from onnx_ir.passes import common

from edgedeploy.optimize.base import Context, Facts, Pass, PostconditionError


class InlineFunctions(Pass, frozen=True):
    """Replace calls of the model's own functions by their bodies.

    Exporters (PyTorch's newer one, with modules as functions) write layers as functions, whose weights and operators no
    later pass would see.
    """

    tolerance: ClassVar[float | None] = 0.0

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        functions = len(model.functions)
        if functions:
            common.InlinePass()(model)
        return model, {"functions_inlined": functions - len(model.functions)}

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        if after.functions:
            raise PostconditionError(f"{len(after.functions)} functions are left")
