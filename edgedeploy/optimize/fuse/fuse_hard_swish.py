"""x · clip(x + 3, 0, 6) / 6 is one operator, HardSwish, since opset 14."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.base import Context, Facts, Pass
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import all_nodes, constant, is_operator, only_consumer, opset


class FuseHardSwish(Pass, frozen=True):
    """Recognize HardSwish written out as Add, Clip, Mul and Div, as exporters of older opsets write it.

    HardSwish is from Howard et al. 2019 (MobileNetV3), https://arxiv.org/abs/1905.02244, section 5.2. Four passes over
    the tensor become two in onnxruntime, and four nodes one in the file.
    """

    # x · clip(x / 6 + 1/2, 0, 1) rounds elsewhere than the written-out form.
    tolerance: ClassVar[float | None] = 1e-4

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if opset(model) < 14:
            return f"the model's operator set is {opset(model)}, and HardSwish needs 14 (put upgrade-opset before it)"
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        builder = GraphBuilder(model)
        fused = 0
        for clip in all_nodes(model):
            if (chain := _chain(clip)) is None:
                continue
            source, nodes = chain
            builder.replace_node(nodes[-1], "HardSwish", [source])
            fused += 1
        return model, {"fused": fused}


def _chain(clip: ir.Node) -> tuple[ir.Value, list[ir.Node]] | None:
    """The x that goes in, and Add, Clip and the two nodes behind it, when `clip` is in the middle of a HardSwish."""
    if not is_operator(clip, "Clip") or len(clip.inputs) != 3:
        return None
    if not (_is(clip.inputs[1], 0.0) and _is(clip.inputs[2], 6.0)):
        return None
    add = clip.inputs[0].producer() if clip.inputs[0] is not None else None
    if add is None or not is_operator(add, "Add") or only_consumer(add.outputs[0]) is not clip:
        return None
    source = next((add.inputs[i] for i in (0, 1) if _is(add.inputs[1 - i], 3.0)), None)
    # Either x · clip / 6 or x · (clip / 6); the division may be a multiplication by 1/6.
    first = only_consumer(clip.outputs[0])
    second = only_consumer(first.outputs[0]) if first is not None else None
    if source is None or first is None or second is None:
        return None
    for product, division in ((first, second), (second, first)):
        if _multiplies(product, source) and _divides_by_six(division):
            nodes = [add, clip, first, second]
            return (source, nodes) if all(node.graph is clip.graph for node in nodes) else None
    return None


def _multiplies(node: ir.Node, source: ir.Value) -> bool:
    return is_operator(node, "Mul") and (node.inputs[0] is source) != (node.inputs[1] is source)


def _divides_by_six(node: ir.Node) -> bool:
    if is_operator(node, "Div"):
        return _is(node.inputs[1], 6.0)
    return is_operator(node, "Mul") and any(_is(value, 1.0 / 6.0) for value in node.inputs)


def _is(value: ir.Value | None, number: float) -> bool:
    """Whether `value` is a float32 constant of one element (which broadcasts to x's rank or less) that is `number`."""
    array = constant(value)
    return (
        array is not None
        and array.dtype == np.float32
        and array.size == 1
        and array.ndim <= 1
        and float(array.reshape(-1)[0]) == float(np.float32(number))
    )
