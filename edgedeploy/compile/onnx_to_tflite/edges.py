"""Give a converted model the input and output names, order, layout and types of the ONNX model.

Datasets, golden files and labels are made for the ONNX model. A converter for TensorFlow Lite may give channels last,
other numbers of bits, or leave out an input that no output depends on; what it changed is changed back in the graph, so
that whatever runs the file sees nothing of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.inference.litert import require_tflite
from edgedeploy.model.tflite_file import dtype_name, read_tflite, tensor_name, type_number, write_tflite


class Edge(Struct, frozen=True, kw_only=True):
    """One input or output of the ONNX model."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """NumPy's name."""
    permutation: tuple[int, ...]
    """Axis `permutation[i]` of what is before becomes axis `i` of what is behind: for an input, of the ONNX model's to
    become the converted one's; for an output, the other way."""


def identity(rank: int) -> tuple[int, ...]:
    return tuple(range(rank))


def layouts(have: Sequence[int], wanted: Sequence[int]) -> list[tuple[int, ...]]:
    """List the changes of layout that turn shape `have` into `wanted`; first the one that changes nothing."""
    rank = len(have)
    if rank != len(wanted):
        return []
    candidates = [identity(rank)]
    if rank >= 3:
        candidates += [(0, rank - 1, *range(1, rank - 1)), (0, *range(2, rank), 1)]
    return [axes for axes in candidates if all(have[axis] == extent for axis, extent in zip(axes, wanted, strict=True))]


def with_edges(content: bytes, inputs: Mapping[str, Edge], outputs: Mapping[str, Edge]) -> bytes:
    """Give the model other inputs and outputs.

    Args:
        inputs, outputs: by the name that the tensor has in `content`, in the order wanted. Of these only inputs may be
            missing there: they are then added, and nothing depends on them.

    Raises:
        UnsupportedError: an input or output without extents is an output too, and cannot be copied.
        HostError, InvalidFileError: as `read_tflite`.
    """
    model = read_tflite(content, "the converted model")
    # It names inputs and outputs once more, and no runtime here asks for it.
    model.signatureDefs = None
    graph = model.subgraphs[0]
    work = _Graph(model)
    found = {tensor_name(graph.tensors[index]): int(index) for index in (*graph.inputs, *graph.outputs)}
    graph.inputs = [work.taken(edge, found.get(name)) for name, edge in inputs.items()]
    given: list[int] = []
    for name, edge in outputs.items():
        given.append(work.given(edge, found[name], found[name] in (*given, *graph.inputs)))
    graph.outputs = given
    _share_buffers(model)
    return write_tflite(model)


def _share_buffers(model: Any) -> None:
    """Store each constant once: a recurrent layer that was unrolled has its weights for every step."""
    first: dict[bytes, int] = {}
    same = {0: 0}
    kept = [model.buffers[0]]
    for index, buffer in enumerate(model.buffers[1:], start=1):
        key = hashlib.sha256(b"" if buffer.data is None else buffer.data.tobytes()).digest()
        if key not in first:
            first[key] = len(kept)
            kept.append(buffer)
        same[index] = first[key]
    model.buffers = kept
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = same[tensor.buffer]
    for entry in model.metadata or ():
        entry.buffer = same[entry.buffer]


class _Graph:
    """Tensors and operators that are added to a model's first graph."""

    def __init__(self, model: Any) -> None:
        self._schema = require_tflite("ai_edge_litert.schema_py_generated")
        self._model = model
        self._graph = model.subgraphs[0]

    def taken(self, edge: Edge, index: int | None) -> int:
        if index is None:
            return self._tensor(edge.name, edge.shape, edge.dtype)
        tensor = self._graph.tensors[index]
        dtype = dtype_name(tensor)
        if edge.permutation == identity(len(edge.shape)) and dtype == edge.dtype:
            self._describe(index, edge.name, edge.shape)
            return index
        outer = self._tensor(edge.name, edge.shape, edge.dtype)
        permuted = [edge.shape[axis] for axis in edge.permutation]
        self._graph.operators = [*self._between(outer, index, edge, permuted), *self._graph.operators]
        return outer

    def given(self, edge: Edge, index: int, is_shared: bool) -> int:
        dtype = dtype_name(self._graph.tensors[index])
        if edge.permutation == identity(len(edge.shape)) and dtype == edge.dtype and not is_shared:
            self._describe(index, edge.name, edge.shape)
            return index
        outer = self._tensor(edge.name, edge.shape, edge.dtype)
        self._graph.operators = [*self._graph.operators, *self._between(index, outer, edge, edge.shape)]
        return outer

    def _between(self, source: int, result: int, edge: Edge, permuted: Sequence[int]) -> list[Any]:
        """TRANSPOSE, CAST, or both; with neither needed, a TRANSPOSE that only copies."""
        tensors = self._graph.tensors
        casts = tensors[source].type != tensors[result].type
        added = []
        if edge.permutation != identity(len(edge.shape)) or not casts:
            if not edge.shape:
                raise UnsupportedError(f"{edge.name!r} is an input or output twice, which TensorFlow Lite cannot have")
            target = self._tensor(f"{edge.name}/layout", permuted, dtype_name(tensors[source])) if casts else result
            axes = self._constant(f"{edge.name}/axes", np.array(edge.permutation, np.int32))
            added.append(self._operator("TRANSPOSE", [source, axes], target))
            source = target
        if casts:
            options = self._schema.CastOptionsT(inDataType=tensors[source].type, outDataType=tensors[result].type)
            added.append(self._operator("CAST", [source], result, options))
        return added

    def _describe(self, index: int, name: str, shape: Sequence[int]) -> None:
        tensor = self._graph.tensors[index]
        tensor.name, tensor.shape, tensor.shapeSignature = name.encode(), list(shape), None

    def _tensor(self, name: str, shape: Sequence[int], dtype: str) -> int:
        kind = type_number("BOOL" if dtype == "bool" else dtype.upper())
        self._graph.tensors.append(self._schema.TensorT(name=name.encode(), shape=list(shape), type=kind, buffer=0))
        return len(self._graph.tensors) - 1

    def _constant(self, name: str, array: np.ndarray) -> int:
        index = self._tensor(name, array.shape, array.dtype.name)
        self._model.buffers.append(self._schema.BufferT(data=np.frombuffer(array.tobytes(), np.uint8)))
        self._graph.tensors[index].buffer = len(self._model.buffers) - 1
        return index

    def _operator(self, name: str, inputs: Sequence[int], output: int, options: Any = None) -> Any:
        number = getattr(self._schema.BuiltinOperator, name)
        code = self._schema.OperatorCodeT(builtinCode=number, deprecatedBuiltinCode=min(number, 127), version=1)
        self._model.operatorCodes.append(code)
        made = self._schema.OperatorT(
            opcodeIndex=len(self._model.operatorCodes) - 1, inputs=list(inputs), outputs=[output]
        )
        if options is not None:
            made.builtinOptions = options
            made.builtinOptionsType = getattr(self._schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        return made
