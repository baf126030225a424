"""Reads an ONNX file into a graph in which every shape is known and whatever is constant is folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from edgedeploy.compile.native.branches import take_branches
from edgedeploy.compile.native.graph import Attribute, Graph, Node, Value
from edgedeploy.compile.native.layout import C_TYPES
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.foundation.sanitize import first_line
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.inference.session import Feed

_SUBGRAPHS = ("If", "Loop", "Scan", "SequenceMap")
_SHAPE_OF_DATA = ("NonZero", "Unique", "Compress", "NonMaxSuppression", "StringSplit", "TfIdfVectorizer")
"""The shape of what these give depends on the data: no static program can hold it."""

_KNOWN_BY_SHAPE = ("Shape", "Size", "Constant")
"""What these give is known before the model runs, whatever they take."""

_WIDER = {"int4": np.dtype(np.int8), "uint4": np.dtype(np.uint8)}
"""Types that C does not have, and the next larger one: the numbers stay the same."""

_NO_C_TYPE = ("int2", "int4", "float4", "float8", "bfloat16")
"""How the types begin, as onnxruntime names them, that no value may have while the model runs."""

_RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")


def prepare(model: Path, feed: Feed) -> Graph:
    """Read a model, bind its inputs' shapes to those of `feed`, and fold.

    onnxruntime's basic optimization goes first (it folds constants and batch normalization, and leaves nothing but
    ONNX's own operators). Then the model runs once on `feed` with every intermediate value kept: that gives all shapes,
    and the values of whatever depends on constants and shapes alone.

    Args:
        feed: one array for each of the model's inputs, as it is to be run.

    Raises:
        UnsupportedError: the model does not load or run on `feed`.
        UnsupportedError: it has operators whose shapes depend on data, subgraphs, or other types than tensors.
    """
    whole = onnx.load(model)
    outputs = [output.name for output in whole.graph.output]
    guards = take_branches(whole, feed)
    _bind(whole, feed)
    _drop_unread_biases(whole)
    _flatten_around_hardmax(whole)
    simple = _simplified(whole)
    for node in simple.graph.node:
        _refuse(node)
    seen = _run(simple, feed)
    return _folded(simple, seen, outputs, guards)


def _bind(model: onnx.ModelProto, feed: Feed) -> None:
    del model.graph.value_info[:]
    initialized = {each.name for each in model.graph.initializer}
    for value in model.graph.input:
        if value.name in initialized:
            continue
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        for extent in feed[value.name].shape:
            shape.dim.add().dim_value = extent
    # What is declared of outputs may contradict the shapes that are bound now.
    for value in model.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")


def _drop_unread_biases(model: onnx.ModelProto) -> None:
    """Take off what a Gemm with a beta of 0 would add: onnxruntime does not read it, and 0 times it may be NaN."""
    for node in model.graph.node:
        betas = [attribute.f for attribute in node.attribute if attribute.name == "beta"]
        if node.op_type == "Gemm" and betas == [0.0]:
            del node.input[2:]


def _flatten_around_hardmax(model: onnx.ModelProto) -> None:
    """Write out what Hardmax did until opset 13: it went over all dimensions from `axis` on, as one.

    The library that has a kernel for it knows the later one alone, which goes over one dimension.
    """
    if not 5 <= next((each.version for each in model.opset_import if not each.domain), 0) < 13:
        return
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type == "Hardmax" and not node.domain:
            name, make = node.output[0], onnx.helper.make_node
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            model.graph.node.extend(
                (
                    make("Shape", [node.input[0]], [f"{name}:shape"]),
                    make("Flatten", [node.input[0]], [f"{name}:flat"], axis=axis),
                    make("Hardmax", [f"{name}:flat"], [f"{name}:rows"], axis=1),
                    make("Reshape", [f"{name}:rows", f"{name}:shape"], [name]),
                )
            )
        else:
            model.graph.node.append(node)


def _options(level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return options


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    with scratch_folder() as folder:
        optimized = Path(folder, "optimized.onnx")
        options = _options(onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)
        options.optimized_model_filepath = str(optimized)
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has its own exceptions, and raises many
            raise UnsupportedError("onnxruntime does not load the model", why=first_line(error)) from error
        found: onnx.ModelProto = onnx.load(optimized)
        return found


def _refuse(node: onnx.NodeProto) -> None:
    why = None
    if node.op_type in _SUBGRAPHS:
        why = "it has subgraphs; which of them run is known only while the model runs"
    elif node.op_type in _SHAPE_OF_DATA:
        why = "the shape of its output depends on the data, and a static program must know it"
    elif node.op_type in _RANDOM:
        why = "it draws random numbers"
    if why:
        raise Node(node.op_type, node.name or node.output[0], [], []).refused(why)


def _run(model: onnx.ModelProto, feed: Feed) -> dict[str, np.ndarray]:
    """Compute every value of the model on `feed`, by name."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    known = {value.name for value in exposed.graph.output}
    initialized = {each.name for each in exposed.graph.initializer}
    for node in exposed.graph.node:
        for name in node.output:
            if name and name not in known:
                known.add(name)
                exposed.graph.output.append(onnx.ValueInfoProto(name=name))
    options = _options(onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    try:
        session = onnxruntime.InferenceSession(exposed.SerializeToString(), options, providers=["CPUExecutionProvider"])
        _refuse_types(session)
        names = [value.name for value in session.get_outputs()]
        arrays = session.run(names, {each.name: feed[each.name] for each in session.get_inputs()})
    except UnsupportedError:
        raise
    except Exception as error:
        raise UnsupportedError("the model does not run on its golden input", why=first_line(error)) from error
    found: dict[str, np.ndarray] = {}
    for name, array in zip(names, arrays, strict=True):
        if name in initialized:
            continue
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            raise UnsupportedError(
                f"the native backend cannot hold {name!r}", why="it is no tensor of numbers or truth values"
            )
        found[name] = array
    found.update({name: feed[name] for name in feed})
    return found


def _refuse_types(session: onnxruntime.InferenceSession) -> None:
    for value in session.get_outputs():
        kind = value.type.removeprefix("tensor(").removesuffix(")").removeprefix("u")
        if kind.startswith(_NO_C_TYPE):
            raise UnsupportedError(
                f"the native backend cannot hold {value.name!r}",
                why=f"its type is {value.type.removeprefix('tensor(').removesuffix(')')}, and C has no such numbers",
            )


def _folded(
    model: onnx.ModelProto, seen: Mapping[str, np.ndarray], outputs: Sequence[str], guards: Mapping[str, bool]
) -> Graph:
    graph = model.graph
    values: dict[str, Value] = {}
    for tensor in graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        array = array.astype(_WIDER.get(array.dtype.name, array.dtype), copy=False)
        values[tensor.name] = Value(tensor.name, array.dtype, array.shape, array)
    inputs = []
    for each in graph.input:
        if each.name not in values:
            array = seen[each.name]
            values[each.name] = Value(each.name, array.dtype, array.shape)
            inputs.append(values[each.name])
    nodes = []
    for proto in graph.node:
        node, constant = _node(proto, values, seen)
        # Weights that are stored in few bits stay so: their DequantizeLinear is what tells how.
        if constant and node.op == "DequantizeLinear" and node.needed(0).dtype.name in C_TYPES:
            node.output.constant = None
            nodes.append(node)
        elif not constant:
            nodes.append(node)
    found = Graph(inputs, [values[name] for name in outputs], nodes, _opset(model))
    # A condition that depends on shapes alone is known, and never another.
    found.guards = [(values[name], wanted) for name, wanted in guards.items() if values[name].constant is None]
    found.drop_unused()
    return found


def _node(proto: onnx.NodeProto, values: dict[str, Value], seen: Mapping[str, np.ndarray]) -> tuple[Node, bool]:
    """Make a node, add what it makes to `values`, and tell whether that is known before the model runs."""
    node = Node(
        proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}:{proto.op_type}",
        proto.name or proto.output[0],
        [values[name] if name else None for name in proto.input],
        [],
        {attribute.name: _attribute(attribute) for attribute in proto.attribute},
    )
    constant = node.op in _KNOWN_BY_SHAPE or all(
        value.constant is not None for value in node.inputs if value is not None
    )
    for name in proto.output:
        if not name:
            node.outputs.append(None)
            continue
        array = seen[name]
        values[name] = Value(name, array.dtype, array.shape, array if constant else None)
        node.outputs.append(values[name])
    return node, constant


def _opset(model: onnx.ModelProto) -> int:
    return max(int(each.version) for each in model.opset_import if each.domain in ("", "ai.onnx"))


def _attribute(proto: onnx.AttributeProto) -> Attribute:
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if proto.type == onnx.AttributeProto.STRINGS:
        return [each.decode() for each in value]
    return list(value) if proto.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value
