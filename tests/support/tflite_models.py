"""Tiny TensorFlow Lite models made by hand, as a converter would write them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
    "str": schema.TensorType.STRING,
}


class Builder:
    """Collects tensors and operators of one graph; tensors are known by their number."""

    def __init__(self) -> None:
        self.graph = schema.SubGraphT(tensors=[], operators=[], inputs=[], outputs=[], name=b"main")
        self.model = schema.ModelT(
            version=3,
            description=b"by hand",
            buffers=[schema.BufferT()],
            operatorCodes=[],
            subgraphs=[self.graph],
        )

    def tensor(self, name: str, shape: Sequence[int], dtype: str = "float32", signature: Sequence[int] = ()) -> int:
        tensor = schema.TensorT(name=name.encode(), shape=list(shape), type=_TYPES[dtype], buffer=0)
        tensor.shapeSignature = list(signature) or None
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def input(self, name: str, shape: Sequence[int], dtype: str = "float32", signature: Sequence[int] = ()) -> int:
        self.graph.inputs.append(self.tensor(name, shape, dtype, signature))
        return self.graph.inputs[-1]

    def constant(self, name: str, array: np.ndarray) -> int:
        index = self.tensor(name, array.shape, array.dtype.name)
        self.model.buffers.append(schema.BufferT(data=np.frombuffer(array.tobytes(), np.uint8)))
        self.graph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def operator(self, name: str, inputs: Sequence[int], output: int, options: Any = None) -> int:
        number = getattr(schema.BuiltinOperator, name)
        code = schema.OperatorCodeT(builtinCode=number, deprecatedBuiltinCode=min(number, 127), version=1)
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT(
            opcodeIndex=len(self.model.operatorCodes) - 1, inputs=list(inputs), outputs=[output]
        )
        if options is not None:
            operator.builtinOptions = options
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self.graph.operators.append(operator)
        return output

    def convolution(self, x: int, filters: int | np.ndarray, output: int, stride: int = 1, bias: int = -1) -> int:
        """A CONV_2D with «same» padding; filters (out, height, width, in)."""
        weights = self.constant(f"filters{output}", filters) if isinstance(filters, np.ndarray) else filters
        options = schema.Conv2DOptionsT(strideH=stride, strideW=stride, dilationHFactor=1, dilationWFactor=1)
        return self.operator("CONV_2D", [x, weights, bias], output, options)

    def depthwise(self, x: int, filters: np.ndarray, output: int) -> int:
        """A DEPTHWISE_CONV_2D with «same» padding; filters (1, height, width, channels)."""
        weights = self.constant(f"filters{output}", filters)
        options = schema.DepthwiseConv2DOptionsT(
            strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1, depthMultiplier=1
        )
        bias = self.constant(f"bias{output}", np.zeros(filters.shape[3], np.float32))
        return self.operator("DEPTHWISE_CONV_2D", [x, weights, bias], output, options)

    def dense(self, x: int, weights: int | np.ndarray, output: int, bias: int = -1) -> int:
        """A FULLY_CONNECTED; weights (out, in)."""
        held = self.constant(f"weights{output}", weights) if isinstance(weights, np.ndarray) else weights
        return self.operator("FULLY_CONNECTED", [x, held, bias], output, schema.FullyConnectedOptionsT())

    def decoded(self, name: str, array: np.ndarray) -> int:
        """A float16 constant behind a DEQUANTIZE, as converters write float16 models."""
        stored = self.constant(f"{name}:half", array.astype(np.float16))
        return self.operator("DEQUANTIZE", [stored], self.tensor(name, array.shape), schema.DequantizeOptionsT())

    def custom(self, name: str, inputs: Sequence[int], output: int, options: bytes = b"") -> int:
        """An operator that is not TensorFlow Lite's own."""
        number = schema.BuiltinOperator.CUSTOM
        code = schema.OperatorCodeT(
            builtinCode=number, deprecatedBuiltinCode=number, customCode=name.encode(), version=1
        )
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT(
            opcodeIndex=len(self.model.operatorCodes) - 1, inputs=list(inputs), outputs=[output]
        )
        operator.customOptions = np.frombuffer(options, np.uint8)
        self.graph.operators.append(operator)
        return output

    def finish(self, *outputs: int) -> bytes:
        self.graph.outputs = list(outputs)
        return bytes(flatbuffer_utils.convert_object_to_bytearray(self.model))


def mediapipe_network(operator: str = "Convolution2DTransposeBias") -> bytes:
    """Input `image` (1, 4, 4, 3), output `mask` (1, 8, 8, 2): a transposed convolution as MediaPipe's models have it.

    XNNPACK has a kernel for it, TensorFlow Lite has none.
    """
    rng = np.random.default_rng(0)
    b = Builder()
    image = b.input("image", (1, 4, 4, 3))
    filters = b.constant("filters", rng.standard_normal((2, 2, 2, 3)).astype(np.float32))
    bias = b.constant("bias", np.ones(2, np.float32))
    # TfLiteTransposeConvParams: padding (1: same), and the strides.
    options = struct.pack("<iii", 1, 2, 2)
    return b.finish(b.custom(operator, [image, filters, bias], b.tensor("mask", (1, 8, 8, 2)), options))


def small_network(seed: int = 0, *, half: bool = False, classes: int = 10) -> bytes:
    """Input `image` (1, 16, 16, 3) in [0, 1]; two convolutions with a RELU each, a residual ADD, a mean, a dense layer;
    output `logits` (1, classes).

    Args:
        half: weights are stored as float16, and RELUs are operators of their own.
    """
    rng = np.random.default_rng(seed)
    b = Builder()
    image = b.input("image", (1, 16, 16, 3))

    def weights(name: str, *shape: int) -> int:
        array = (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        return b.decoded(name, array) if half else b.constant(name, array)

    def bias(name: str, channels: int) -> int:
        array = rng.normal(size=channels).astype(np.float32) * 0.1
        return b.decoded(name, array) if half else b.constant(name, array)

    def relu(x: int, name: str, shape: Sequence[int]) -> int:
        return b.operator("RELU", [x], b.tensor(name, shape))

    filters, shift = weights("filters1", 16, 3, 3, 3), bias("bias1", 16)
    one = b.convolution(image, filters, b.tensor("conv1", (1, 16, 16, 16)), bias=shift)
    one = relu(one, "relu1", (1, 16, 16, 16))
    filters, shift = weights("filters2", 16, 3, 3, 16), bias("bias2", 16)
    two = b.convolution(one, filters, b.tensor("conv2", (1, 16, 16, 16)), bias=shift)
    two = relu(two, "relu2", (1, 16, 16, 16))
    added = b.operator("ADD", [one, two], b.tensor("sum", (1, 16, 16, 16)), schema.AddOptionsT())
    axes = b.constant("axes", np.array([1, 2], np.int32))
    mean = b.operator("MEAN", [added, axes], b.tensor("mean", (1, 16)), schema.ReducerOptionsT(keepDims=False))
    held, shift = weights("dense", classes, 16), bias("bias3", classes)
    return b.finish(b.dense(mean, held, b.tensor("logits", (1, classes)), bias=shift))
