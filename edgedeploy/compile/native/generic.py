"""Has `emx-onnx-cgen` write a C function for each operator that has no kernel here."""

from __future__ import annotations

import numpy as np
import onnx

from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.graph import Node, Value
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.foundation.extras import extra_line
from edgedeploy.foundation.sanitize import first_line

_INLINE_LIMIT = 64
"""Constants of up to so many elements are given to the generator: axes, shapes and the like decide what it writes."""

_NOT_TRUSTED = {
    "GRU": "refuses other directions than forward",
    "LSTM": "was seen to give wrong results for it",
}


def generic(emitter: Emitter, node: Node) -> None:
    """Write a call of a function of its own, with arrays in C's order.

    Raises:
        UnsupportedError: the generator cannot do it either, or it is not installed.
    """
    name = f"node_{len(emitter.sources)}"
    taken = [value for value in dict.fromkeys(node.inputs) if value is not None and not _inline(value)]
    emitter.sources[f"{name}.c"] = _source(node, taken, name, emitter.graph.opset)
    arguments = [emitter.ordered(value).pointer for value in taken]
    for value in node.outputs:
        if value is not None:
            arguments.append(emitter.define(value).pointer)
    parameters = ", ".join(
        [f"const {emitter.c_type(value)} *" for value in taken]
        + [f"{emitter.c_type(value)} *" for value in node.outputs if value is not None]
    )
    emitter.prototypes.append(f"void {name}({parameters});")
    emitter.emit(f"{name}({', '.join(arguments)});")


def _inline(value: Value) -> bool:
    return value.constant is not None and value.size <= _INLINE_LIMIT


def _source(node: Node, taken: list[Value], name: str, opset: int) -> str:
    try:
        from emx_onnx_cgen import CodegenError, Compiler, ShapeInferenceError, UnsupportedOpError
        from emx_onnx_cgen.compiler import CompilerOptions
    except ImportError as error:
        raise UnsupportedError(
            f"there is no kernel for {node.op} (node {node.name!r})",
            why="other operators are written by emx-onnx-cgen, and that is not installed",
            hint=extra_line("native"),
        ) from error
    if node.op in _NOT_TRUSTED:
        raise node.refused(
            f"no kernel of ours takes it with such attributes, and emx-onnx-cgen {_NOT_TRUSTED[node.op]}"
        )
    if node.op.count(":"):
        raise node.refused("it is none of ONNX's own operators")
    try:
        found: str = Compiler(CompilerOptions(model_name=name)).compile(_model(node, taken, opset, prefix=name))
    except (CodegenError, ShapeInferenceError, UnsupportedOpError, NotImplementedError, ValueError) as error:
        raise node.refused(f"emx-onnx-cgen: {first_line(error)}") from error
    return found


def _model(node: Node, taken: list[Value], opset: int, *, prefix: str) -> onnx.ModelProto:
    """Make a model of the one node, its values named by number: generated C must not depend on names in a file.

    Args:
        prefix: of the names. Constants become global variables of these names, which have to differ between operators.
    """
    names: dict[Value, str] = {}
    for value in (*node.inputs, *node.outputs):
        if value is not None:
            names.setdefault(value, f"{prefix}_v{len(names)}")
    attributes = {
        key: onnx.numpy_helper.from_array(each) if isinstance(each, np.ndarray) else each
        for key, each in node.attributes.items()
        if not key.startswith("_")
    }
    proto = onnx.helper.make_node(
        node.op,
        [names[value] if value is not None else "" for value in node.inputs],
        [names[value] if value is not None else "" for value in node.outputs],
        **attributes,
    )

    def info(value: Value) -> onnx.ValueInfoProto:
        kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        return onnx.helper.make_tensor_value_info(names[value], kind, value.shape)

    inline = [value for value in dict.fromkeys(node.inputs) if value is not None and _inline(value)]
    graph = onnx.helper.make_graph(
        [proto],
        "node",
        [info(value) for value in taken],
        [info(value) for value in node.outputs if value is not None],
        [onnx.numpy_helper.from_array(np.asarray(value.constant), names[value]) for value in inline],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
