"""Chooses the module that writes an operator, and writes whole graphs."""

from __future__ import annotations

from collections.abc import Callable

from edgedeploy.compile.native import convolutions, integers, matrices, moves, recurrent, reductions, views
from edgedeploy.compile.native.elementwise import elementwise, write
from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.formulas import formula_of
from edgedeploy.compile.native.generic import generic
from edgedeploy.compile.native.graph import Graph, Node
from edgedeploy.compile.native.pad import pad
from edgedeploy.compile.native.resize import resize

_ALWAYS: dict[str, Callable[[Emitter, Node], None]] = {
    "Concat": moves.concat,
    "Dropout": views.reshape,
    "Expand": views.expand,
    "Flatten": views.reshape,
    "Gather": moves.gather,
    "GatherElements": moves.gather_elements,
    "Identity": views.reshape,
    "Pad": pad,
    "Reshape": views.reshape,
    "Slice": views.slice_,
    "DepthToSpace": moves.depth_to_space,
    "Split": views.split,
    "Squeeze": views.reshape,
    "Tile": moves.tile,
    "Transpose": views.transpose,
    "Unsqueeze": views.reshape,
    "edgedeploy:IntegerConv": integers.conv,
    "edgedeploy:IntegerGemm": integers.matmul,
    "edgedeploy:IntegerMatMul": integers.matmul,
}

_WHERE_IT_CAN: dict[str, Callable[[Emitter, Node], bool]] = {
    "AveragePool": reductions.pool,
    "Conv": convolutions.conv,
    "ConvTranspose": convolutions.conv_transpose,
    "Gemm": matrices.gemm,
    "GlobalAveragePool": reductions.reduce,
    "GlobalMaxPool": reductions.reduce,
    "GRU": recurrent.recurrent,
    "LRN": reductions.local_response,
    "LSTM": recurrent.recurrent,
    "LayerNormalization": reductions.layer_normalization,
    "LogSoftmax": reductions.softmax,
    "MatMul": matrices.matmul,
    "MaxPool": reductions.pool,
    "ReduceL1": reductions.reduce,
    "ReduceL2": reductions.reduce,
    "ReduceLogSum": reductions.reduce,
    "ReduceMax": reductions.reduce,
    "ReduceMean": reductions.reduce,
    "ReduceMin": reductions.reduce,
    "ReduceProd": reductions.reduce,
    "ReduceSum": reductions.reduce,
    "ReduceSumSquare": reductions.reduce,
    "Resize": resize,
    "Softmax": reductions.softmax,
    "Upsample": resize,
}
"""Those that say whether they could; else the node goes to `generic`."""

_DECIDES_SHAPE: dict[str, tuple[int, ...]] = {
    "CenterCropPad": (1,),
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}
"""Inputs that say how large the result is: they must be known before the model runs."""


def emit_graph(graph: Graph) -> Emitter:
    """Write a whole graph. Its inputs are copied into the arena first, where they are aligned.

    Raises:
        UnsupportedError: there is an operator that cannot be compiled; it is named, with its node.
    """
    emitter = Emitter(graph)
    emitter.materialize = lambda value: write(emitter, emitter.deferred.pop(value))
    for number, value in enumerate(graph.inputs):
        place = emitter.define(value)
        emitter.emit(f"memcpy({place.pointer}, inputs[{number}], {value.size * value.dtype.itemsize});")
    for node in graph.nodes:
        try:
            _emit(emitter, node)
        except (ArithmeticError, AssertionError, IndexError, KeyError, TypeError, ValueError) as error:
            # Another backend may take a model that nobody thought of here.
            raise node.refused(
                f"edgedeploy made a mistake, please report it: {type(error).__name__}: {error}"
            ) from error
    for value in (*graph.outputs, *(guarded for guarded, _ in graph.guards)):
        emitter.deliver(value)
    return emitter


def _emit(emitter: Emitter, node: Node) -> None:
    for position in _DECIDES_SHAPE.get(node.op, ()):
        node.constant(position)
    if node.op in _WHERE_IT_CAN and _WHERE_IT_CAN[node.op](emitter, node):
        return
    if node.op in _ALWAYS and (len(node.outputs) == 1 or node.op == "Split"):
        _ALWAYS[node.op](emitter, node)
    elif formula_of(node) is not None:
        elementwise(emitter, node)
    else:
        for name in node.attributes:
            assert not name.startswith("_"), f"{node.op} {node.name} was fused, and no kernel takes it"
        generic(emitter, node)
