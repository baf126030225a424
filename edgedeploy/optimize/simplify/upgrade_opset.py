"""A pass that converts a model to a later version of the ONNX operator set."""

from __future__ import annotations

import logging
from typing import ClassVar

import onnx
import onnx.version_converter
import onnx_ir as ir

from edgedeploy.foundation.sanitize import first_line
from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped, PostconditionError
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import all_nodes, integer_attribute, is_operator, opset
from edgedeploy.optimize.simplify.lift_constants import lift_constants

_log = logging.getLogger(__name__)


_SHELTER = "edgedeploy.unchanged"
"""A domain that the converter knows nothing of: nodes in it stay as they are."""


class UpgradeOpset(Pass, frozen=True):
    """Raise the operator set to `to` when it is older; a newer one stays.

    Quantization per channel needs 13 (`axis` of DequantizeLinear), HardSwish 14. What onnx's version converter gets
    wrong is done here: Upsample and the first Resize, whose pixels lie elsewhere than those of later ones, and Hardmax,
    which flattened its input until 13.
    """

    tolerance: ClassVar[float | None] = 1e-6

    to: int = 17

    def __post_init__(self) -> None:
        if not 7 <= self.to <= onnx.defs.onnx_opset_version():
            raise ValueError(f"to must lie between 7 and {onnx.defs.onnx_opset_version()}")

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if opset(model) < self.to and model.functions:
            return "the model has functions of its own, which onnx's version converter does not convert"
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        source = opset(model)
        if source >= self.to:
            return model, {"opset": source}
        if _means_the_same(model, source, self.to):
            # Nothing but the number has to change, and a number cannot go wrong.
            model.opset_imports[""] = self.to
        else:
            model = _converted(model, self.to)
        model.ir_version = max(model.ir_version or 0, _ir_version_for(self.to))
        return model, {"opset_before": source, "opset": self.to}

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        if opset(after) < self.to:
            raise PostconditionError(f"the operator set is {opset(after)}, not {self.to}")


def _means_the_same(model: ir.Model, source: int, to: int) -> bool:
    """Whether no operator of the model changed between the two versions."""
    for node in all_nodes(model):
        if node.domain not in ("", "ai.onnx"):
            continue
        try:
            old = onnx.defs.get_schema(node.op_type, source, "")
            new = onnx.defs.get_schema(node.op_type, to, "")
        except onnx.defs.SchemaError:
            return False
        if old.since_version != new.since_version or new.deprecated:
            return False
    return True


def _converted(model: ir.Model, to: int) -> ir.Model:
    graph = model.graph
    had_constants = any(is_operator(node, "Constant") for node in all_nodes(model))
    resized = _outputs_of_first_resizes(model)
    if opset(model) < 13 <= to:
        for node in all_nodes(model):
            if _is_over_last_axis(node):
                # Flattened or not is the same there, but where the rank is not known the converter flattens.
                node.domain, node.attributes["axis"] = _SHELTER, ir.AttrInt64("axis", -1)
        model.opset_imports[_SHELTER] = 1
        _flatten_around_hardmax(model)
    inputs = [(value.type, value.shape) for value in graph.inputs]
    outputs = [(value.type, value.shape) for value in graph.outputs]
    try:
        proto = onnx.version_converter.convert_version(ir.to_proto(model), to)
        converted = ir.from_proto(proto)
    except Exception as error:
        # The converter is C++ and reports what it cannot do as RuntimeError, ConvertError or a bare assertion.
        _log.debug("onnx.version_converter", exc_info=True)
        raise PassSkipped(f"onnx's version converter gave up: {first_line(error)}") from error
    # The converter writes down shapes that it inferred; what the model promises to its callers stays as it was.
    for values, promised in ((converted.graph.inputs, inputs), (converted.graph.outputs, outputs)):
        for value, (kind, shape) in zip(values, promised, strict=True):
            value.type, value.shape = kind, shape
    converted.metadata_props.update(model.metadata_props)
    converted.opset_imports.pop(_SHELTER, None)
    for node in all_nodes(converted):
        if node.domain == _SHELTER:
            node.domain = ""
        if is_operator(node, "Resize") and node.outputs[0].name in resized:
            # ONNX, Resize-10 and Upsample-9: x_original = floor(x_resized / scale) for nearest, and no half a pixel.
            node.attributes.add(ir.AttrString("coordinate_transformation_mode", "asymmetric"))
            node.attributes.add(ir.AttrString("nearest_mode", "floor"))
    if not had_constants:
        # Attributes that became inputs are nodes now; what comes later looks for weights among initializers.
        lift_constants(converted)
    converted.producer_name, converted.producer_version = model.producer_name, model.producer_version
    return converted


def _is_over_last_axis(node: ir.Node) -> bool:
    if not is_operator(node, "Softmax", "LogSoftmax", "Hardmax") or node.inputs[0] is None:
        return False
    axis, shape = integer_attribute(node, "axis", 1), node.inputs[0].shape
    return axis == -1 or (shape is not None and axis == len(shape) - 1)


def _outputs_of_first_resizes(model: ir.Model) -> frozenset[str]:
    """Names of what Upsample, and Resize as it was in opset 10, give. The converter keeps names."""
    first = ("Upsample", "Resize") if opset(model) <= 10 else ()
    return frozenset(node.outputs[0].name or "" for node in all_nodes(model) if is_operator(node, *first))


def _flatten_around_hardmax(model: ir.Model) -> None:
    """Write out what Hardmax did until opset 13: flatten to a matrix, one maximum for each row, and the shape back."""
    builder = GraphBuilder(model)
    for node in all_nodes(model):
        if not is_operator(node, "Hardmax"):
            continue
        source = node.inputs[0]
        axis = integer_attribute(node, "axis", 1)
        name = node.outputs[0].name or "hardmax"
        shape = builder.op("Shape", [source], f"{name}:shape", before=node)
        flat = builder.op("Flatten", [source], f"{name}:flat", attributes={"axis": axis}, before=node)
        rows = builder.op("Hardmax", [flat], f"{name}:rows", attributes={"axis": 1}, before=node)
        builder.replace_node(node, "Reshape", [rows, shape])


def _ir_version_for(version: int) -> int:
    return int(onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", version)]))
