"""What running the model on sample inputs tells of shapes that inference could not tell.

One run shows one shape, and a model must keep its answers for every other. So a rank is believed only of values whose
rank no input's content and no extent can change, and extents only where the model fixes those of all its inputs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import onnx_ir as ir

from edgedeploy.inference.session import Feed
from edgedeploy.optimize.graph.activation_tap import shapes_on
from edgedeploy.optimize.graph.constant_if import branches_of
from edgedeploy.optimize.graph.edit import ONNX_DOMAINS, constant, is_operator
from edgedeploy.optimize.graph.shapes import forget_shapes, infer_shapes

_log = logging.getLogger(__name__)

_SHAPED_BY_CONTENT = frozenset("NonZero Unique Compress NonMaxSuppression StringSplit MaxUnpool ImageDecoder".split())
"""How much they give depends on what their inputs hold."""
_SHAPED_BY_OTHER_INPUTS = frozenset(
    "Reshape Expand Tile Slice Pad Resize Upsample TopK OneHot Squeeze Unsqueeze Split CenterCropPad Col2Im "
    "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp "
    "ReduceSumSquare DFT STFT".split()
)
"""The content of all inputs but the first shapes what they give."""
_SHAPED_BY_ALL_INPUTS = frozenset("Range ConstantOfShape HannWindow HammingWindow BlackmanWindow EyeLike".split())


def tell_shapes(model: ir.Model, probes: Sequence[Feed]) -> tuple[int, Exception | None]:
    """Forget what the file says of intermediate values; infer their shapes, and complete them on sample inputs.

    Returns:
        How many values the sample inputs gave a shape, and what inference stumbled over, if it gave up.
    """
    forget_shapes(model)
    failure = infer_shapes(model)
    observed = complete_shapes(model, probes)
    if observed and failure is None:
        # From the ranks that are known now, more follows.
        infer_shapes(model)
    return observed, failure


def complete_shapes(model: ir.Model, probes: Sequence[Feed]) -> int:
    """Write down ranks, or whole shapes where every input's extents are fixed, of values that have none.

    Args:
        model: with what inference told.
        probes: feeds of the model; none leave everything as it is.

    Returns:
        How many values were given a shape.
    """
    fixed = all(_is_fixed(value) for value in model.graph.inputs)
    missing = [
        value
        for value in _values_that_follow(model.graph)
        if (value.shape is None or (fixed and not _is_fixed(value))) and isinstance(value.type, ir.TensorType)
    ]
    if not missing or not probes:
        return 0
    seen = [_shapes(model, missing, probe) for probe in probes]
    completed = 0
    for number, value in enumerate(missing):
        shapes = {shapes[number] for shapes in seen if shapes is not None}
        ranks = {len(shape) for shape in shapes}
        if len(ranks) != 1:
            continue
        value.shape = ir.Shape(shapes.pop() if fixed and len(shapes) == 1 else [None] * ranks.pop())
        completed += 1
    return completed


def _is_fixed(value: ir.Value) -> bool:
    return value.shape is not None and all(isinstance(extent, int) and extent >= 0 for extent in value.shape)


def _values_that_follow(graph: ir.Graph) -> list[ir.Value]:
    """Intermediate values whose shape is a function of the inputs' shapes, and their rank of the inputs' ranks."""
    # Values whose content is, too: constants, and what is computed from shapes.
    content: set[ir.Value] = set()
    shape: set[ir.Value] = {*graph.inputs, *graph.initializers.values()}
    found: list[ir.Value] = []

    def known(value: ir.Value | None) -> bool:
        return value is None or value in content or constant(value) is not None

    for node in graph:
        inputs = [value for value in node.inputs if value is not None]
        if node.domain not in ONNX_DOMAINS or branches_of(node) or not all(value in shape for value in inputs):
            continue
        if node.op_type in _SHAPED_BY_CONTENT or "Sequence" in node.op_type or "Optional" in node.op_type:
            continue
        if node.op_type in _SHAPED_BY_OTHER_INPUTS and not all(known(value) for value in node.inputs[1:]):
            continue
        if node.op_type in _SHAPED_BY_ALL_INPUTS and not all(known(value) for value in node.inputs):
            continue
        # Which axes go depends on the extents.
        if is_operator(node, "Squeeze") and len(inputs) < 2 and "axes" not in node.attributes:
            continue
        shape.update(node.outputs)
        found += [value for value in node.outputs if value.name and not value.is_graph_output()]
        if is_operator(node, "Shape", "Size", "Constant") or (inputs and all(known(value) for value in inputs)):
            content.update(node.outputs)
    return found


def _shapes(model: ir.Model, values: Sequence[ir.Value], probe: Feed) -> list[tuple[int, ...]] | None:
    """Return the shape of each value on this feed; None when the model cannot be run."""
    try:
        return shapes_on(model, [value.name or "" for value in values], probe)
    except Exception:
        # onnxruntime's errors have no common class of their own; without the run, the shapes stay unknown.
        _log.debug("watching shapes", exc_info=True)
        return None
