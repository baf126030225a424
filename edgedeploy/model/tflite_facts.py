"""The facts of a TensorFlow Lite file, read without running it."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.model.shapes import shapes_at_batch_one
from edgedeploy.model.tflite_file import (
    dtype_name,
    is_constant,
    is_quantized,
    operator_name,
    read_tflite,
    shape,
    tensor_name,
    type_name,
)
from edgedeploy.values.model import ModelFacts, TensorFacts

_Shapes = Sequence[Sequence[int]]


class _Unknown(Exception):
    """The operator has an operand that is missing, or of a rank that its formula does not take."""


def inspect_tflite(path: Path, input_shapes: Mapping[str, Sequence[int]]) -> ModelFacts:
    """Read a model's facts; the graph that is described is the first, which is what a runtime runs.

    Args:
        path: a `.tflite` file.
        input_shapes: extents for dynamic inputs, by input name, for counting MACs. What is not given is 1 for a first
            (batch) extent and unknown else.

    Raises:
        InvalidFileError: the file is missing or damaged.
        UnsupportedError: a shape in `input_shapes` contradicts the model.
        HostError: the extra `tflite` is not installed.
    """
    try:
        content = read_file(path, MODEL)
    except OSError as error:
        raise unreadable(path, error) from error
    model = read_tflite(content, str(path))
    graph = model.subgraphs[0]
    inputs = tuple(_tensor_facts(graph.tensors[index]) for index in graph.inputs)
    macs, macs_note = _count_macs(model, content, inputs, input_shapes)
    operators = Counter(
        operator_name(model, operator) for subgraph in model.subgraphs for operator in subgraph.operators
    )
    return ModelFacts(
        format="tflite",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        producer=model.description.decode("utf-8", "replace").strip() if model.description else "",
        opset=0,
        inputs=inputs,
        outputs=tuple(_tensor_facts(graph.tensors[index]) for index in graph.outputs),
        parameters=count_parameters(model),
        macs=macs,
        macs_note=macs_note,
        operators=dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
    )


_FLOATS = frozenset({"FLOAT16", "FLOAT32", "FLOAT64", "BFLOAT16"})


def count_parameters(model: Any) -> int:
    """Count the elements of all constants that stand for real numbers, each buffer once.

    Zeros that are not stored count too.
    """
    counted: dict[int, int] = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if is_constant(model, tensor) and (is_quantized(tensor) or type_name(tensor) in _FLOATS):
                counted[tensor.buffer] = math.prod(shape(tensor))
    return sum(counted.values())


def _tensor_facts(tensor: Any) -> TensorFacts:
    # Where a shape is open, `shape` has a placeholder and `shapeSignature` -1.
    signature = tensor.shapeSignature if tensor.shapeSignature is not None and len(tensor.shapeSignature) else None
    extents = shape(tensor) if signature is None else tuple(int(extent) for extent in signature)
    scale, zero_point = _quantization(tensor)
    return TensorFacts(
        name=tensor_name(tensor),
        dtype=dtype_name(tensor),
        shape=tuple("?" if extent < 0 else extent for extent in extents),
        scale=scale,
        zero_point=zero_point,
    )


def _quantization(tensor: Any) -> tuple[float, int] | tuple[None, None]:
    """Return scale and zero point of a tensor of integers that has one of each; inputs and outputs have no more."""
    stated = tensor.quantization
    if not is_quantized(tensor) or type_name(tensor) in _FLOATS or len(stated.scale) != 1:
        return None, None
    zero_point = stated.zeroPoint
    return float(stated.scale[0]), int(zero_point[0]) if zero_point is not None and len(zero_point) else 0


def _count_macs(
    model: Any, content: bytes, inputs: Sequence[TensorFacts], given: Mapping[str, Sequence[int]]
) -> tuple[int | None, str]:
    """Count the MACs of the first graph, one multiplication with its addition each.

    V. Sze et al. 2017, https://arxiv.org/abs/1703.09039, section II.
    """
    wanted = shapes_at_batch_one(inputs, given)
    graph = model.subgraphs[0]
    shapes: _Shapes = [shape(tensor) for tensor in graph.tensors]
    if any(isinstance(extent, str) for tensor in inputs for extent in tensor.shape):
        if still_open := [
            name for name, extents in wanted.items() if any(isinstance(extent, str) for extent in extents)
        ]:
            return None, f"the shapes depend on the dynamic input {still_open[0]}"
        try:
            shapes = _shapes_at(content, {name: tuple(map(int, extents)) for name, extents in wanted.items()})
        except EdgedeployError as error:
            return None, f"the runtime does not tell the shapes: {error.why or error.what}"
    total = 0
    omitted: Counter[str] = Counter()
    for operator in graph.operators:
        name = operator_name(model, operator)
        if name in _FORMULAS:
            try:
                total += _FORMULAS[name](_Operands(operator, shapes))
            except _Unknown:
                omitted[name] += 1
        elif name in _NOT_COUNTED:
            omitted[name] += 1
    notes = [f"for {', '.join(f'{name} {_times(extents)}' for name, extents in wanted.items())}"] if wanted else []
    if omitted:
        notes.append("without " + ", ".join(f"{number} {name}" for name, number in omitted.most_common()))
    return total, "; ".join(notes)


def _shapes_at(content: bytes, inputs: Mapping[str, Sequence[int]]) -> _Shapes:
    from edgedeploy.inference.litert import TfliteSession

    return TfliteSession(content, exact=True).shapes_at(inputs)


def _times(extents: Sequence[int | str]) -> str:
    return "x".join(map(str, extents)) or "scalar"


class _Operands:
    """The shapes of an operator's operands; asking for one that is not there raises `_Unknown`."""

    def __init__(self, operator: Any, shapes: _Shapes) -> None:
        self._operator = operator
        self._shapes = shapes

    def input(self, index: int, rank: int) -> Sequence[int]:
        """Return the shape of an input, of at least this rank."""
        return self._shape(self._operator.inputs, index, rank)

    def output(self) -> Sequence[int]:
        return self._shape(self._operator.outputs, 0, 0)

    def weights(self, indices: range) -> int:
        """Count the elements of those of these operands that are given."""
        given = self._operator.inputs
        return sum(
            math.prod(self._shapes[given[index]]) for index in indices if index < len(given) and given[index] >= 0
        )

    def _shape(self, indices: Sequence[int], index: int, rank: int) -> Sequence[int]:
        if index >= len(indices) or indices[index] < 0 or indices[index] >= len(self._shapes):
            raise _Unknown
        found = self._shapes[indices[index]]
        if len(found) < rank:
            raise _Unknown
        return found


def _convolution(operands: _Operands) -> int:
    # The filter is (out, height, width, in of its group), with a depth before the height in three dimensions (there
    # it is (depth, height, width, in, out)).
    return math.prod(operands.output()) * math.prod(operands.input(1, 4)[1:])


def _convolution_3d(operands: _Operands) -> int:
    return math.prod(operands.output()) * math.prod(operands.input(1, 5)[:-1])


def _depthwise(operands: _Operands) -> int:
    # (1, height, width, out): each output element sums over the window of one channel.
    return math.prod(operands.output()) * math.prod(operands.input(1, 4)[1:3])


def _transposed(operands: _Operands) -> int:
    # Operands: output shape, filter (out, height, width, in), input (batch, height, width, in).
    return math.prod(operands.input(2, 4)) * math.prod(operands.input(1, 4)[:3])


def _dense(operands: _Operands) -> int:
    return math.prod(operands.output()) * operands.input(1, 2)[-1]


def _matrix_product(operands: _Operands) -> int:
    # Which extent is summed over depends on flags; the product of all four, by the two that stay, does not:
    # (b, m, k)·(b, k, n): sqrt(mk·kn / mn) = k.
    left, right, result = operands.input(0, 2), operands.input(1, 2), operands.output()
    if len(result) < 2 or not result[-1] * result[-2]:
        raise _Unknown
    inner = math.isqrt(left[-1] * left[-2] * right[-1] * right[-2] // (result[-1] * result[-2]))
    return math.prod(result) * inner


def _recurrent(first: int, last: int) -> Callable[[_Operands], int]:
    # The input is (batch, time, in) or (time, batch, in); each weight matrix is used once per step and sample.
    def count(operands: _Operands) -> int:
        steps = operands.input(0, 3)
        return steps[0] * steps[1] * operands.weights(range(first, last))

    return count


# Operands as in https://github.com/google-ai-edge/LiteRT, tflite/kernels: of the LSTM, 1 to 4 multiply the input and 5
# to 8 the state, of the RNN 1 and 2.
_FORMULAS: dict[str, Callable[[_Operands], int]] = {
    "CONV_2D": _convolution,
    "CONV_3D": _convolution_3d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _dense,
    "BATCH_MATMUL": _matrix_product,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _recurrent(1, 9),
    "UNIDIRECTIONAL_SEQUENCE_RNN": _recurrent(1, 3),
}

# These multiply matrices too, in ways that depend on more than shapes, or in graphs of their own.
_NOT_COUNTED = frozenset(
    "LSTM BIDIRECTIONAL_SEQUENCE_LSTM BIDIRECTIONAL_SEQUENCE_RNN RNN SVDF CONV_3D_TRANSPOSE RFFT2D WHILE IF CALL "
    "STABLEHLO_COMPOSITE STABLEHLO_DOT_GENERAL STABLEHLO_CONVOLUTION".split()
)
