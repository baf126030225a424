"""Shapes of the values in a model for one inference.

onnx.shape_inference over a whole model stops at the first `Reshape` whose target is computed from a `Shape`, which
most exporters write. Here the nodes are walked in order instead: the outputs of each are inferred by its schema, and a
small value that depends on nothing but known ones (the arithmetic on shapes) is computed by onnx.reference.
"""

from __future__ import annotations

import logging
import math
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, TypeProto, helper, numpy_helper

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.values.model import Dimension, TensorFacts

_log = logging.getLogger(__name__)

Shape = tuple[int, ...]

_KNOWN_ELEMENTS = 1024
"""Values of at most so many elements are kept: shapes, axes, bounds. Weights are larger and never needed."""

# Operators of onnxruntime's own domain that have no schema in onnx, by the standard one whose shapes they have.
# https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
_LIKE_FIRST_INPUT = frozenset(
    "BiasGelu FastGelu Gelu LayerNormalization QLinearLeakyRelu QLinearSigmoid QLinearSoftmax QuickGelu "
    "SimplifiedLayerNormalization SkipLayerNormalization SkipSimplifiedLayerNormalization".split()
)
_BROADCAST_QUANTIZED = frozenset({"QLinearAdd", "QLinearMul"})


def shapes_at_batch_one(
    inputs: Sequence[TensorFacts], given: Mapping[str, Sequence[int]]
) -> dict[str, tuple[Dimension, ...]]:
    """Return the inputs' shapes at which work is counted.

    Dynamic extents are those that are given; a first one of an input of rank 2 or more is else 1. Extents of one name
    are the same extent, in whichever input they occur.

    Args:
        inputs: of the model.
        given: whole shapes, by input.

    Raises:
        UnsupportedError: a given shape names no input, or contradicts the model.
    """
    names = [facts.name for facts in inputs]
    if unknown := sorted(given.keys() - set(names)):
        raise UnsupportedError(f"the model has no input {unknown[0]!r}", why=f"inputs: {', '.join(names)}")
    bound: dict[str, int] = {}
    for facts in inputs:
        if facts.name in given:
            bound.update(_bindings(facts, given[facts.name]))
    for facts in inputs:
        if len(facts.shape) > 1 and isinstance(facts.shape[0], str):
            bound.setdefault(facts.shape[0], 1)
    shapes: dict[str, tuple[Dimension, ...]] = {}
    for facts in inputs:
        if facts.name in given:
            shapes[facts.name] = tuple(given[facts.name])
        else:
            # "?" is no name: only as the first extent does it stand for the batch.
            shapes[facts.name] = tuple(
                (1 if axis == 0 and len(facts.shape) > 1 else extent)
                if extent == "?"
                else bound.get(str(extent), extent)
                for axis, extent in enumerate(facts.shape)
            )
    return shapes


def _bindings(facts: TensorFacts, shape: Sequence[int]) -> dict[str, int]:
    if len(shape) != len(facts.shape) or any(
        extent < 0 or (isinstance(declared, int) and declared != extent)
        for declared, extent in zip(facts.shape, shape, strict=False)
    ):
        raise UnsupportedError(
            f"input {facts.name!r} cannot have shape {'x'.join(map(str, shape))}",
            why=f"the model declares ({', '.join(map(str, facts.shape))})",
        )
    return {
        declared: extent
        for declared, extent in zip(facts.shape, shape, strict=True)
        if isinstance(declared, str) and declared != "?"
    }


class Scope:
    """What is known of the values that the nodes of a graph can see, while its nodes are walked in order."""

    def __init__(self, model: onnx.ModelProto, shapes: Mapping[str, Sequence[Dimension]]) -> None:
        """
        Args:
            model: without functions of its own (inline them first).
            shapes: of the model's inputs.
        """
        self._opsets = list(model.opset_import)
        self._versions = {entry.domain: entry.version for entry in model.opset_import}
        self._ir_version = model.ir_version
        self._types: ChainMap[str, TypeProto] = ChainMap()
        self._data: ChainMap[str, TensorProto] = ChainMap()
        for value in model.graph.input:
            self._types[value.name] = (
                _with_shape(value.type, shapes[value.name]) if value.name in shapes else value.type
            )
        self._add_initializers(model.graph)

    def inside(self, graph: onnx.GraphProto, inputs: Sequence[TypeProto | None] = ()) -> Scope:
        """Return the scope of a subgraph: what is known out here, its constants, and inputs of known type."""
        scope = object.__new__(Scope)
        scope._opsets, scope._versions, scope._ir_version = self._opsets, self._versions, self._ir_version
        scope._types, scope._data = self._types.new_child(), self._data.new_child()
        for index, value in enumerate(graph.input):
            known = inputs[index] if index < len(inputs) else None
            scope._types[value.name] = value.type if known is None else known
        scope._add_initializers(graph)
        return scope

    def type_of(self, name: str) -> TypeProto | None:
        return self._types.get(name)

    def shape_of(self, name: str) -> Shape | None:
        """Return the shape, when every extent of it is known."""
        kind = self._types.get(name)
        if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
            return None
        extents = kind.tensor_type.shape.dim
        return tuple(e.dim_value for e in extents) if all(e.HasField("dim_value") for e in extents) else None

    def visit(self, node: onnx.NodeProto) -> None:
        """Learn what can be known of the node's outputs. What cannot stays unknown; nothing is raised."""
        try:
            self._visit(node)
        except (IndexError, ValueError):
            # A node with fewer operands than its operator has, or attributes of another type: not a valid model.
            _log.debug("%s %r: malformed", node.op_type, node.name, exc_info=True)

    def _visit(self, node: onnx.NodeProto) -> None:
        if node.op_type == "Constant":
            self._add_constant(node)
            return
        for name, kind in self._inferred(node).items():
            self._types[name] = kind
        # A body is never run: it may loop without end.
        if _is_computable(node) and all(name in self._data or not name for name in node.input):
            self._compute(node)
        elif node.op_type in ("Shape", "Size") and (shape := self.shape_of(node.input[0])) is not None:
            self._add_shape(node, shape)

    def _inferred(self, node: onnx.NodeProto) -> dict[str, TypeProto]:
        domain = "" if node.domain == "ai.onnx" else node.domain
        first = self._types.get(node.input[0]) if node.input else None
        if domain == "com.microsoft" or not onnx.defs.has(node.op_type, domain):
            return self._inferred_by_likeness(node, first)
        seen = {name: self._types[name] for name in node.input if name and name in self._types}
        if any(name and name not in seen for name in node.input):
            return {}
        if any(attribute.HasField("g") for attribute in node.attribute):
            # A body may read every value around it.
            seen = dict(self._types)
        try:
            schema = onnx.defs.get_schema(node.op_type, self._versions.get(domain, 1), domain)
            return onnx.shape_inference.infer_node_outputs(
                schema,
                node,
                seen,
                {name: self._data[name] for name in node.input if name in self._data},
                opset_imports=self._opsets,
                ir_version=self._ir_version,
            )
        except Exception:
            # onnx raises RuntimeError, InferenceError, SchemaError and ValidationError for what it cannot infer.
            _log.debug("%s %r: no shapes", node.op_type, node.name, exc_info=True)
            return {}

    def _inferred_by_likeness(self, node: onnx.NodeProto, first: TypeProto | None) -> dict[str, TypeProto]:
        kind = first
        if node.op_type in _BROADCAST_QUANTIZED:
            shapes = [self.shape_of(node.input[index]) for index in (0, 3)]
            try:
                kind = (
                    _with_shape(first, np.broadcast_shapes(*(s for s in shapes if s is not None)))
                    if (first is not None and None not in shapes)
                    else None
                )
            except ValueError:
                kind = None
        elif node.op_type not in _LIKE_FIRST_INPUT:
            kind = None
        return {node.output[0]: kind} if kind is not None else {}

    def _compute(self, node: onnx.NodeProto) -> None:
        from onnx.reference import ReferenceEvaluator

        sizes = [self.shape_of(name) for name in node.output if name]
        if any(size is None or math.prod(size) > _KNOWN_ELEMENTS for size in sizes):
            return
        function = helper.make_function(
            "edgedeploy",
            "one_node",
            [n for n in dict.fromkeys(node.input) if n],
            [n for n in node.output if n],
            [node],
            self._opsets,
        )
        try:
            feed = {name: numpy_helper.to_array(self._data[name]) for name in function.input}
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(function).run(None, feed, attributes={})
        except Exception:
            # An operator that the reference does not have, or values that it rejects: they stay unknown.
            _log.debug("%s %r: not computed", node.op_type, node.name, exc_info=True)
            return
        for name, result in zip(function.output, results, strict=True):
            self._add_tensor(name, numpy_helper.from_array(np.asarray(result)))

    def _add_shape(self, node: onnx.NodeProto, shape: Shape) -> None:
        if node.op_type == "Size":
            self._add_tensor(node.output[0], numpy_helper.from_array(np.array(math.prod(shape), np.int64)))
            return
        bounds = {attribute.name: attribute.i for attribute in node.attribute}
        kept = shape[bounds.get("start", 0) : bounds.get("end", len(shape))]
        self._add_tensor(node.output[0], numpy_helper.from_array(np.array(kept, np.int64)))

    def _add_initializers(self, graph: onnx.GraphProto) -> None:
        for tensor in graph.initializer:
            self._add_tensor(tensor.name, tensor)
        for sparse in graph.sparse_initializer:
            self._types[sparse.values.name] = helper.make_tensor_type_proto(sparse.values.data_type, list(sparse.dims))

    def _add_constant(self, node: onnx.NodeProto) -> None:
        for attribute in node.attribute:
            value: Any = helper.get_attribute_value(attribute)
            if attribute.name == "value":
                self._add_tensor(node.output[0], value)
            elif attribute.name == "sparse_value":
                kind = helper.make_tensor_type_proto(value.values.data_type, list(value.dims))
                self._types[node.output[0]] = kind
            elif attribute.name in ("value_int", "value_ints"):
                self._add_tensor(node.output[0], numpy_helper.from_array(np.array(value, np.int64)))
            elif attribute.name in ("value_float", "value_floats"):
                self._add_tensor(node.output[0], numpy_helper.from_array(np.array(value, np.float32)))

    def _add_tensor(self, name: str, tensor: TensorProto) -> None:
        self._types[name] = helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
        if math.prod(tensor.dims) <= _KNOWN_ELEMENTS and tensor.data_location != TensorProto.EXTERNAL:
            self._data[name] = tensor


def _is_computable(node: onnx.NodeProto) -> bool:
    return any(node.input) and not any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)


def _with_shape(kind: TypeProto, shape: Sequence[Dimension]) -> TypeProto:
    if not kind.HasField("tensor_type"):
        return kind
    # An extent of the name "?" is one of its own, not the same as other "?".
    return helper.make_tensor_type_proto(kind.tensor_type.elem_type, [None if e == "?" else e for e in shape])
