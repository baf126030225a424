"""How each operator passes channels on, unites them, or keeps them.

Semantics are those of https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from edgedeploy.optimize.graph.edit import ONNX_DOMAINS, constant, integer_attribute, integers_attribute
from edgedeploy.optimize.prune.channels.edits import Cut, Extent, GroupCount, Selection, SliceBounds, SplitSizes
from edgedeploy.optimize.prune.channels.walk import Channels, Layer, LayerKind, Walk

Rule = Callable[[Walk, ir.Node], None]

_ELEMENT_BY_ELEMENT = (
    "Abs Acos Acosh Asin Asinh Atan Atanh BitShift Cast Ceil Celu Clip Cos Cosh Dropout Elu Erf Exp Floor Gelu "
    "HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid "
    "Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu FastGelu QuickGelu "
    "Add Sub Mul Div Min Max Pow PRelu Sum Mean Mod Where Less LessOrEqual Greater GreaterOrEqual Equal And Or Xor"
).split()
_POOLS = "MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool".split()
_REDUCTIONS = (
    "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare"
).split()


def apply_rule(walk: Walk, node: ir.Node) -> None:
    """Follow channels through one node."""
    known = node.domain in ONNX_DOMAINS or node.op_type in ("FastGelu", "QuickGelu", "Gelu")
    rule = _RULES.get(node.op_type) if known else None
    if rule is None:
        if any(walk.channels(value) is not None for value in node.inputs):
            walk.keep(node, f"{node.op_type} takes them")
        return
    rule(walk, node)


def _keep(walk: Walk, node: ir.Node, why: str) -> None:
    walk.keep(node, f"{node.op_type} {why}")


# --- layers -----------------------------------------------------------------------------------------------------------


def _cut_bias(walk: Walk, node: ir.Node, position: int, atoms: np.ndarray) -> bool:
    """Cut a bias of one value per channel; False when there is one that cannot be cut."""
    value = node.inputs[position] if len(node.inputs) > position else None
    if value is None:
        return True
    bias = constant(value)
    if bias is None:
        return False
    if bias.ndim and bias.shape[-1] == len(atoms) and len(atoms) > 1:
        walk.edits.append(Cut(node=walk.index[node], position=position, axis=bias.ndim - 1, atoms=atoms))
    return True


def _convolution(walk: Walk, node: ir.Node) -> None:
    channels, weight = walk.channels(node.inputs[0]), constant(node.inputs[1])
    if weight is None or weight.ndim < 3 or (channels is not None and channels.axis != 1):
        _keep(walk, node, "has computed weights")
        return
    place, groups = walk.index[node], integer_attribute(node, "group", 1)
    transposed = node.op_type == "ConvTranspose"
    # Conv: (out, in / group, …); ConvTranspose: (in, out / group, …).
    per_group_in = weight.shape[0] // groups if transposed else weight.shape[1]
    outputs = weight.shape[1] * groups if transposed else weight.shape[0]
    inputs = None if channels is None else channels.atoms
    source = walk.shape(node.inputs[0] if transposed else node.outputs[0])
    macs = 0 if source is None else math.prod(source) * math.prod(weight.shape[1:])
    kind: LayerKind
    if groups > 1 and per_group_in == 1:
        kind = "depthwise"
        # Of an input whose channels all stay, those of the output stay too.
        given = None if inputs is None else np.repeat(inputs, outputs // groups)
        if inputs is not None and given is not None:
            walk.edits.append(Cut(node=place, position=1, axis=0, atoms=inputs if transposed else given))
            walk.edits.append(GroupCount(node=place, atoms=inputs))
        inputs = None
    else:
        kind = "dense" if groups == 1 else "grouped"
        if inputs is not None:
            rows = inputs.reshape(groups, per_group_in)
            for other in rows[1:]:
                walk.atoms.unite(rows[0], other)
            if transposed:
                walk.edits.append(Cut(node=place, position=1, axis=0, atoms=inputs))
            else:
                walk.edits.append(Cut(node=place, position=1, axis=1, atoms=rows[0]))
            inputs = inputs if transposed else rows[0]
        given = walk.atoms.fresh(outputs)
        rows = given.reshape(groups, outputs // groups)
        for other in rows[1:]:
            walk.atoms.unite(rows[0], other)
        walk.edits.append(
            Cut(node=place, position=1, axis=1, atoms=rows[0])
            if transposed
            else Cut(node=place, position=1, axis=0, atoms=given)
        )
    if given is not None:
        walk.give(node.outputs[0], 1, given)
        if not _cut_bias(walk, node, 2, given):
            walk.atoms.pin(given, f"{node.op_type} has a computed bias")
    walk.layers.append(
        Layer(
            node=place,
            name=node.outputs[0].name or "",
            operator=node.op_type,
            kind=kind,
            inputs=inputs,
            outputs=given,
            input_axis=-1 if kind == "depthwise" else 0 if transposed else 1,
            output_axis=1 if transposed else 0,
            macs=macs,
            weight_bytes=weight.nbytes,
        )
    )


def _gemm(walk: Walk, node: ir.Node) -> None:
    channels, weight = walk.channels(node.inputs[0]), constant(node.inputs[1])
    if weight is None or integer_attribute(node, "transA", 0) or (channels is not None and channels.axis != 1):
        _keep(walk, node, "has computed weights or a transposed input")
        return
    output_axis = 0 if integer_attribute(node, "transB", 0) else 1
    given = _dense(walk, node, weight, channels, 1 - output_axis, output_axis)
    walk.give(node.outputs[0], 1, given)
    if not _cut_bias(walk, node, 2, given):
        walk.atoms.pin(given, "Gemm has a computed bias")


def _matmul(walk: Walk, node: ir.Node) -> None:
    left, right = node.inputs[0], node.inputs[1]
    first, second = walk.channels(left), walk.channels(right)
    weight = constant(right)
    shape, other_shape, result = walk.shape(left), walk.shape(right), walk.shape(node.outputs[0])
    if shape is None or other_shape is None or result is None or min(len(shape), len(other_shape)) < 2:
        _keep(walk, node, "has operands of unknown shape")
        return
    if weight is not None and weight.ndim == 2 and constant(left) is None:
        if first is not None and first.axis != len(shape) - 1:
            # The rows' channels pass; those of the columns are not followed beside them.
            walk.give(node.outputs[0], first.axis, first.atoms)
            return
        given = _dense(walk, node, weight, first, 0, 1)
        walk.give(node.outputs[0], len(result) - 1, given)
        return
    if constant(left) is not None or weight is not None:
        _keep(walk, node, "has stacked weights, or weights on the left")
        return
    contracted = [
        None if one is None or one.axis != axis else one
        for one, axis in ((first, len(shape) - 1), (second, len(other_shape) - 2))
    ]
    if contracted[0] is not None and contracted[1] is not None:
        walk.atoms.unite(contracted[0].atoms, contracted[1].atoms)
        return
    if contracted[0] is not None or contracted[1] is not None:
        _keep(walk, node, "sums over them and has no channels to match on its other side")
        return
    passed: Channels | None = None
    if first is not None and first.axis == len(shape) - 2:
        passed = Channels(len(result) - 2, first.atoms)
    if second is not None and second.axis == len(other_shape) - 1 and passed is None:
        passed, second = Channels(len(result) - 1, second.atoms), None
    for rest in (second, first if passed is None else None):
        if rest is not None:
            walk.atoms.pin(rest.atoms, "MatMul takes them along two axes")
    if passed is not None:
        walk.give(node.outputs[0], passed.axis, passed.atoms)


def _dense(
    walk: Walk, node: ir.Node, weight: np.ndarray, channels: Channels | None, input_axis: int, output_axis: int
) -> np.ndarray:
    """A matrix of weights: its rows lose what the input loses, its columns can be removed. Gives the columns' atoms."""
    place = walk.index[node]
    if channels is not None:
        walk.edits.append(Cut(node=place, position=1, axis=input_axis, atoms=channels.atoms))
    given = walk.atoms.fresh(weight.shape[output_axis])
    walk.edits.append(Cut(node=place, position=1, axis=output_axis, atoms=given))
    source = walk.shape(node.inputs[0])
    rows = 0 if source is None else math.prod(source) // max(weight.shape[input_axis], 1)
    walk.layers.append(
        Layer(
            node=place,
            name=node.outputs[0].name or "",
            operator=node.op_type,
            kind="dense",
            inputs=None if channels is None else channels.atoms,
            outputs=given,
            input_axis=input_axis,
            output_axis=output_axis,
            macs=rows * weight.size,
            weight_bytes=weight.nbytes,
        )
    )
    return given


def _recurrent(walk: Walk, node: ir.Node) -> None:
    """Channels of the input go with columns of W, (directions, gates · hidden, in); the states are not followed."""
    channels, weight = walk.channels(node.inputs[0]), constant(node.inputs[1])
    states = any(walk.channels(value) is not None for value in node.inputs[1:])
    if channels is None and not states:
        return
    if channels is None or weight is None or states or channels.axis != 2:
        _keep(walk, node, "takes them as a state, or has computed weights")
        return
    walk.edits.append(Cut(node=walk.index[node], position=1, axis=2, atoms=channels.atoms))


def _normalization(walk: Walk, node: ir.Node) -> None:
    """BatchNormalization, InstanceNormalization: parameters of shape (channels,)."""
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return
    parameters = [constant(value) for value in node.inputs[1:]]
    if channels.axis != 1 or len([v for v in node.outputs if v.uses()]) > 1 or any(one is None for one in parameters):
        _keep(walk, node, "has computed parameters")
        return
    for position in range(1, len(node.inputs)):
        walk.edits.append(Cut(node=walk.index[node], position=position, axis=0, atoms=channels.atoms))
    walk.give(node.outputs[0], 1, channels.atoms)


# --- operators that pass channels on ----------------------------------------------------------------------------------


def _elementwise(walk: Walk, node: ir.Node) -> None:
    """One element of each operand gives one of the result; operands are aligned at their last axes."""
    followed = [channels for value in node.inputs if (channels := walk.channels(value)) is not None]
    if not followed:
        return
    ranks = {
        value: len(shape) for value in node.inputs if value is not None and (shape := walk.shape(value)) is not None
    }
    if any(value is not None and value not in ranks for value in node.inputs):
        _keep(walk, node, "has an operand of unknown shape")
        return
    rank = max(ranks.values())
    # Along an axis of one element a value is repeated for all channels of the others.
    ends = {
        channels.axis - ranks[value]
        for value in ranks
        if (channels := walk.channels(value)) is not None and len(channels.atoms) > 1
    }
    if len(ends) != 1:
        _keep(walk, node, "meets channels along different axes, or single ones")
        return
    (end,) = ends
    atoms = next(one.atoms for one in followed if len(one.atoms) > 1)
    cuts: list[Cut] = []
    for position, value in enumerate(node.inputs):
        if value is None:
            continue
        channels, shape = walk.channels(value), walk.shape(value)
        assert shape is not None
        extent = shape[end] if len(shape) >= -end else 1
        if channels is not None and len(channels.atoms) == 1:
            walk.atoms.pin(channels.atoms, f"{node.op_type} repeats a single channel")
        if extent == 1:
            continue
        if extent != len(atoms):
            _keep(walk, node, "repeats them in a way that is not followed")
            return
        if channels is not None:
            walk.atoms.unite(atoms, channels.atoms)
        elif constant(value) is not None:
            cuts.append(Cut(node=walk.index[node], position=position, axis=len(shape) + end, atoms=atoms))
        else:
            _keep(walk, node, "combines them with values whose channels must stay")
            return
    walk.edits += cuts
    walk.give(node.outputs[0], rank + end, atoms)
    for unfollowed in node.outputs[1:]:
        if unfollowed.uses() or unfollowed.is_graph_output():
            walk.atoms.pin(atoms, f"the second output of {node.op_type} is read")


def _pool(walk: Walk, node: ir.Node) -> None:
    channels = walk.channels(node.inputs[0])
    if channels is None:
        return
    if channels.axis != 1 or any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        _keep(walk, node, "pools over them, or tells where its maxima are")
        return
    walk.give(node.outputs[0], 1, channels.atoms)


def _resize(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.outputs[0])
    if channels is None:
        return
    if any(walk.channels(value) is not None for value in node.inputs[1:]) or shape is None:
        _keep(walk, node, "takes them for a size")
        return
    if shape[channels.axis] != len(channels.atoms) or "axes" in node.attributes:
        _keep(walk, node, "resizes along them")
        return
    sizes = node.inputs[3] if node.op_type == "Resize" and len(node.inputs) > 3 else None
    if sizes is not None:
        edit = _element(walk, node, 3, channels.axis, channels.atoms)
        if edit is None:
            _keep(walk, node, "has a computed size")
            return
        walk.edits.append(edit)
    walk.give(node.outputs[0], channels.axis, channels.atoms)


def _concat(walk: Walk, node: ir.Node) -> None:
    followed = [channels for value in node.inputs if (channels := walk.channels(value)) is not None]
    if not followed:
        return
    shapes = [walk.shape(value) for value in node.inputs]
    if any(shape is None for shape in shapes):
        _keep(walk, node, "has an operand of unknown shape")
        return
    rank = len(shapes[0] or ())
    axis = integer_attribute(node, "axis", 0) % rank
    where = {channels.axis for channels in followed}
    if where == {axis}:
        parts: list[np.ndarray] = []
        for position, (value, shape) in enumerate(zip(node.inputs, shapes, strict=True)):
            assert shape is not None
            if (channels := walk.channels(value)) is not None:
                parts.append(channels.atoms)
                continue
            others = walk.atoms.fresh(shape[axis])
            if constant(value) is not None and shape[axis]:
                walk.edits.append(Cut(node=walk.index[node], position=position, axis=axis, atoms=others))
            walk.atoms.pin(others, "Concat puts values beside them whose channels must stay")
            parts.append(others)
        walk.give(node.outputs[0], axis, np.concatenate(parts))
        return
    if len(where) != 1 or len(followed) != len(node.inputs):
        _keep(walk, node, "joins them with values whose channels must stay")
        return
    for other in followed[1:]:
        walk.atoms.unite(followed[0].atoms, other.atoms)
    walk.give(node.outputs[0], followed[0].axis, followed[0].atoms)


def _split(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    if shape is None or integer_attribute(node, "axis", 0) % len(shape) != channels.axis:
        for value in node.outputs:
            walk.give(value, channels.axis, channels.atoms)
        return
    sizes = [walk.shape(value) for value in node.outputs]
    if any(size is None for size in sizes) or (len(node.inputs) > 1 and constant(node.inputs[1]) is None):
        _keep(walk, node, "has computed sizes")
        return
    extents = [size[channels.axis] for size in sizes if size is not None]
    if sum(extents) != len(channels.atoms):
        _keep(walk, node, "has parts of unknown size")
        return
    parts = np.split(channels.atoms, np.cumsum(extents)[:-1])
    for value, part in zip(node.outputs, parts, strict=True):
        walk.give(value, channels.axis, part)
    walk.edits.append(SplitSizes(node=walk.index[node], parts=tuple(parts)))


def _slice(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    if len(node.inputs) > 1:
        given = [constant(value) for value in node.inputs[1:]]
        axes_value = given[2] if len(given) > 2 else None
        if (len(node.inputs) > 3 and node.inputs[3] is not None and axes_value is None) or shape is None:
            _keep(walk, node, "has computed axes")
            return
        starts, ends = given[0], given[1]
        steps = given[3] if len(given) > 3 else None
        computed_steps = len(node.inputs) > 4 and node.inputs[4] is not None and steps is None
    else:
        starts, ends, axes_value = (
            None if (found := integers_attribute(node, name)) is None else np.array(found)
            for name in ("starts", "ends", "axes")
        )
        steps, computed_steps = None, False
    if shape is None:
        _keep(walk, node, "has a value of unknown shape")
        return
    count = walk.shape(node.inputs[1]) if len(node.inputs) > 1 else None
    entries = len(starts) if starts is not None else (count[0] if count else 0)
    axes = [int(axis) % len(shape) for axis in (axes_value.ravel() if axes_value is not None else range(entries))]
    if channels.axis not in axes:
        walk.give(node.outputs[0], channels.axis, channels.atoms)
        return
    entry = axes.index(channels.axis)
    if starts is None or ends is None or computed_steps or (steps is not None and int(steps[entry]) != 1):
        _keep(walk, node, "has computed bounds, or steps other than one")
        return
    extent = len(channels.atoms)
    begin, end, _ = slice(int(starts[entry]), int(ends[entry])).indices(extent)
    inside = channels.atoms[begin : max(begin, end)]
    walk.edits.append(SliceBounds(node=walk.index[node], entry=entry, before=channels.atoms[:begin], inside=inside))
    walk.give(node.outputs[0], channels.axis, inside)


def _gather(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if walk.channels(node.inputs[1]) is not None:
        _keep(walk, node, "takes them for indices")
        return
    if channels is None:
        return
    indices = constant(node.inputs[1])
    if shape is None:
        _keep(walk, node, "has a value of unknown shape")
        return
    axis = integer_attribute(node, "axis", 0) % len(shape)
    if axis == channels.axis:
        if indices is None or indices.ndim != 1:
            _keep(walk, node, "chooses single ones")
            return
        whole = np.where(indices < 0, indices + len(channels.atoms), indices)
        walk.edits.append(Selection(node=walk.index[node], indices=whole, atoms=channels.atoms))
        walk.give(node.outputs[0], axis, channels.atoms[whole])
        return
    index_shape = walk.shape(node.inputs[1])
    if index_shape is None:
        _keep(walk, node, "has indices of unknown shape")
        return
    shift = len(index_shape) - 1 if axis < channels.axis else 0
    walk.give(node.outputs[0], channels.axis + shift, channels.atoms)


def _pad(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    pads = constant(node.inputs[1]) if len(node.inputs) > 1 else np.array(integers_attribute(node, "pads") or ())
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else None
    if pads is None or shape is None or (axes is None and len(node.inputs) > 3 and node.inputs[3] is not None):
        result = walk.shape(node.outputs[0])
        _keep(walk, node, "has computed pads" if result else "has a value of unknown shape")
        return
    which = [int(axis) % len(shape) for axis in axes] if axes is not None else list(range(len(shape)))
    before = after = 0
    if channels.axis in which:
        entry = which.index(channels.axis)
        before, after = int(pads[entry]), int(pads[entry + len(which)])
    if min(before, after) < 0 or ((before or after) and node.attributes.get("mode") and _mode(node) != "constant"):
        _keep(walk, node, "repeats or crops them")
        return
    ends = [walk.atoms.fresh(extent) for extent in (before, after)]
    for one in ends:
        walk.atoms.pin(one, "Pad puts constants beside them")
    walk.give(node.outputs[0], channels.axis, np.concatenate([ends[0], channels.atoms, ends[1]]))


def _mode(node: ir.Node) -> str:
    return str(node.attributes["mode"].as_string())


def _transpose(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    if shape is None:
        _keep(walk, node, "has a value of unknown shape")
        return
    order = integers_attribute(node, "perm") or tuple(range(len(shape)))[::-1]
    walk.give(node.outputs[0], order.index(channels.axis), channels.atoms)


def _reduction(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    axes: Sequence[int] | None = integers_attribute(node, "axes")
    if axes is None and len(node.inputs) > 1 and (given := constant(node.inputs[1])) is not None:
        axes = [int(one) for one in given.ravel()]
    if axes is None or shape is None:
        _keep(walk, node, "sums over all")
        return
    reduced = {axis % len(shape) for axis in axes}
    if channels.axis in reduced or not reduced:
        _keep(walk, node, "runs over them")
        return
    dropped = 0 if integer_attribute(node, "keepdims", 1) else sum(axis < channels.axis for axis in reduced)
    walk.give(node.outputs[0], channels.axis - dropped, channels.atoms)


def _along_an_axis(walk: Walk, node: ir.Node) -> None:
    """Softmax and the like: other axes than theirs pass. Before opset 13 theirs was all axes from there on."""
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    version = max((walk.model.opset_imports.get(domain, 0) for domain in ONNX_DOMAINS), default=0)
    if shape is None or version < 13 or integer_attribute(node, "axis", -1) % len(shape) == channels.axis:
        _keep(walk, node, "runs over them")
        return
    walk.give(node.outputs[0], channels.axis, channels.atoms)


def _layer_normalization(walk: Walk, node: ir.Node) -> None:
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    if shape is None or integer_attribute(node, "axis", -1) % len(shape) <= channels.axis:
        _keep(walk, node, "runs over them")
        return
    walk.give(node.outputs[0], channels.axis, channels.atoms)


# --- shapes -----------------------------------------------------------------------------------------------------------


def _shape(walk: Walk, node: ir.Node) -> None:
    """The number of channels must not be read: who knows what for."""
    channels, shape = walk.channels(node.inputs[0]), walk.shape(node.inputs[0])
    if channels is None:
        return
    if shape is None:
        _keep(walk, node, "has a value of unknown shape")
        return
    begin, end, _ = slice(integer_attribute(node, "start", 0), integer_attribute(node, "end", len(shape))).indices(
        len(shape)
    )
    if begin <= channels.axis < end and _is_read(walk, node.outputs[0], channels.axis - begin):
        _keep(walk, node, "tells how many there are")


def _is_read(walk: Walk, value: ir.Value, element: int) -> bool:
    """Whether anything but a choice of other elements reads this element of a vector."""
    if value.is_graph_output():
        return True
    for use in value.uses():
        node = use.node
        if node.op_type in ("Cast", "Identity"):
            if _is_read(walk, node.outputs[0], element):
                return True
            continue
        size = (walk.shape(value) or (0,))[0]
        if node.op_type == "Gather" and use.idx == 0 and (chosen := constant(node.inputs[1])) is not None:
            if element in (np.where(chosen < 0, chosen + size, chosen)).ravel():
                return True
            continue
        if node.op_type == "Slice" and use.idx == 0 and len(node.inputs) > 2:
            bounds = [constant(one) for one in node.inputs[1:]]
            if all(one is not None for one in bounds) and bounds[0] is not None and bounds[1] is not None:
                step = bounds[3] if len(bounds) > 3 else None
                whole = slice(int(bounds[0][0]), int(bounds[1][0]), 1 if step is None else int(step[0]))
                if element not in range(*whole.indices(size)):
                    continue
        return True
    return False


def _element(walk: Walk, node: ir.Node, position: int, element: int, atoms: np.ndarray) -> Extent | None:
    """The constant that holds one element of an operand that is a shape; None when that element is computed."""
    value = node.inputs[position]
    while value is not None:
        if constant(value) is not None:
            return Extent(node=walk.index[node], position=position, element=element, atoms=atoms)
        producer = value.producer()
        if producer is None or producer not in walk.index:
            return None
        if producer.op_type in ("Cast", "Identity"):
            node, position = producer, 0
        elif producer.op_type == "Concat":
            sizes = [walk.shape(one) for one in producer.inputs]
            for place, size in enumerate(sizes):
                if size is None or len(size) != 1:
                    return None
                if element < size[0]:
                    node, position = producer, place
                    break
                element -= size[0]
            else:
                return None
        else:
            return None
        value = node.inputs[position]
    return None


def _reshape(walk: Walk, node: ir.Node) -> None:
    """Reshape, Flatten, Squeeze and Unsqueeze: the axes of both sides are matched block by block."""
    source = node.inputs[0]
    channels, shape, result = walk.channels(source), walk.shape(source), walk.shape(node.outputs[0])
    if any(walk.channels(value) is not None for value in node.inputs[1:]):
        _keep(walk, node, "takes them for a shape")
        return
    if channels is None or source is None:
        return
    if shape is None or result is None or len(channels.atoms) < 2:
        _keep(walk, node, "has a value of unknown shape, or a single channel")
        return
    block = _block(shape, result, channels.axis)
    if block is None:
        _keep(walk, node, "mixes them with other axes")
        return
    inside, outside = block
    others = [axis for axis in inside if axis != channels.axis]
    if any(not walk.is_fixed(source, axis) for axis in others):
        _keep(walk, node, "joins them with an axis whose extent is not fixed")
        return
    wide = [axis for axis in outside if result[axis] > 1]
    if len(wide) == 1:
        # One axis of the result holds them, each as many times as the other axes of the block say.
        (axis,) = wide
        grid = channels.atoms.reshape([-1 if one == channels.axis else 1 for one in inside])
        atoms = np.broadcast_to(grid, [shape[one] for one in inside]).ravel()
    elif all(shape[one] == 1 for one in others):
        # They are spread over several axes: the longest one can be shortened, at the same place for all of the others.
        axis = max(wide, key=lambda one: (result[one], one))
        rows = np.moveaxis(channels.atoms.reshape([result[one] for one in outside]), outside.index(axis), -1)
        rows = rows.reshape(-1, result[axis])
        for other in rows[1:]:
            walk.atoms.unite(rows[0], other)
        atoms = rows[0]
    else:
        _keep(walk, node, "mixes them with other axes")
        return
    if node.op_type == "Reshape" and not _follow_target(walk, node, channels.axis, axis, atoms):
        _keep(walk, node, "has a computed target")
        return
    walk.give(node.outputs[0], axis, atoms)


def _follow_target(walk: Walk, node: ir.Node, axis: int, result_axis: int, atoms: np.ndarray) -> bool:
    """Let the target of a Reshape count what is left; False when it cannot be told how."""
    edit = _element(walk, node, 1, result_axis, atoms)
    if edit is None:
        return False
    holder = list(walk.index)[edit.node]
    known = constant(holder.inputs[edit.position])
    assert known is not None
    number = int(known.ravel()[edit.element])
    if number == 0:
        # «As in the input», by place.
        return axis == result_axis and not integer_attribute(node, "allowzero", 0)
    if number > 0:
        walk.edits.append(edit)
    return True


def _block(shape: Sequence[int], result: Sequence[int], axis: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The smallest run of axes around `axis`, and the run of the result's axes that hold the same elements."""
    begin, other_begin = 0, 0
    while begin < len(shape):
        end, other_end = begin + 1, other_begin + 1
        if other_end > len(result):
            # Only axes of one element are left over.
            return None
        size, other_size = shape[begin], result[other_begin]
        while size != other_size:
            if size < other_size and end < len(shape):
                size, end = size * shape[end], end + 1
            elif size > other_size and other_end < len(result):
                other_size, other_end = other_size * result[other_end], other_end + 1
            else:
                return None
        if begin <= axis < end:
            return tuple(range(begin, end)), tuple(range(other_begin, other_end))
        begin, other_begin = end, other_end
    return None


_RULES: dict[str, Rule] = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), _normalization),
    **dict.fromkeys(_ELEMENT_BY_ELEMENT, _elementwise),
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Pad": _pad,
    "Transpose": _transpose,
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), _along_an_axis),
    "LayerNormalization": _layer_normalization,
    "Shape": _shape,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
}
