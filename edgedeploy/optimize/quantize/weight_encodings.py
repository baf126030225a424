"""Weights in fewer bits than they are computed with: how they are stored, and the nodes that give them back.

onnxruntime computes nodes whose inputs are all known when it loads a model, so what runs is the float model. It makes
an exception for DequantizeLinear (https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html,
constant folding), which is why weights are given back by Cast and Mul here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.quantize.quant_params import WEIGHT_MAX

FLOAT = ir.DataType.FLOAT
FLOAT16_MAX = float(np.finfo(np.float16).max)

_INT4_DIVISORS = (-8.0, -8.5, -9.0, -7.5, -7.0, 7.0, 7.5, 8.0)
"""What the largest number of a block is divided by to give the scale: beyond the grid's end it is cut off a little, and
the others are rounded less."""

_NODE_BYTES = 60
"""What a node takes in a file, with short names."""


class Stored(Struct, frozen=True, kw_only=True, eq=False):
    """A weight in fewer bits."""

    dtype: ir.DataType
    """What it is computed with."""

    @property
    def size_bytes(self) -> int:
        """Return what it takes in a file, nodes included."""
        raise NotImplementedError

    @property
    def array(self) -> np.ndarray:
        """Return the numbers that are given back; float64, of the shape of the weight."""
        raise NotImplementedError

    def restore(self, builder: GraphBuilder, name: str) -> ir.Value:
        """Add the nodes that give the weight back, in its shape and dtype; `name` is that of the weight."""
        raise NotImplementedError


class Float16Weight(Stored, frozen=True, kw_only=True, eq=False):
    """Half precision."""

    halves: np.ndarray

    @property
    def size_bytes(self) -> int:
        return self.halves.nbytes + _NODE_BYTES

    @property
    def array(self) -> np.ndarray:
        return self.halves.astype(np.float64)

    def restore(self, builder: GraphBuilder, name: str) -> ir.Value:
        halves = builder.initializer(f"{name}:float16", self.halves)
        return builder.op(
            "Cast",
            [halves],
            f"{name}:float",
            shape=self.halves.shape,
            dtype=self.dtype,
            attributes={"to": int(self.dtype)},
        )


class IntegerWeight(Stored, frozen=True, kw_only=True, eq=False):
    """integers · scales, the latter float32 and broadcast to the shape of the former."""

    integers: np.ndarray
    """int8 or int16."""
    scales: np.ndarray

    @property
    def size_bytes(self) -> int:
        return self.integers.nbytes + self.scales.nbytes + 2 * _NODE_BYTES

    @property
    def array(self) -> np.ndarray:
        return self.integers.astype(np.float64) * self.scales.astype(np.float64)

    def restore(self, builder: GraphBuilder, name: str) -> ir.Value:
        shape = self.integers.shape
        integers = builder.initializer(f"{name}:{self.integers.dtype}", self.integers)
        scales = builder.initializer(f"{name}:scale", self.scales)
        # In float32 whatever the weight's type: onnxruntime has no kernels to multiply halves, so it would not fold.
        real = builder.op("Cast", [integers], f"{name}:real", shape=shape, dtype=FLOAT, attributes={"to": int(FLOAT)})
        weight = builder.op("Mul", [real, scales], f"{name}:float", shape=shape, dtype=FLOAT)
        if self.dtype != FLOAT:
            weight = builder.op(
                "Cast", [weight], f"{name}:cast", shape=shape, dtype=self.dtype, attributes={"to": int(self.dtype)}
            )
        return weight


class Int4Weight(Stored, frozen=True, kw_only=True, eq=False):
    """integers · scales in blocks of each row, two integers to a byte.

    A row is all that shares an index along the row axes. It is cut into blocks with a scale each; of a block of 2n
    integers the first n are the lower halves of n bytes, the others the upper ones, so that taking them apart is two
    operations and no shuffle.
    """

    integers: np.ndarray
    """int8 from -8 to 7, shape (rows, blocks, integers per block); the last block of a row is filled with zeros."""
    scales: np.ndarray
    """float16, shape (rows, blocks, 1)."""
    shape: tuple[int, ...]
    """Of the weight."""
    row_axes: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return self.integers.size // 2 + self.scales.nbytes + 12 * _NODE_BYTES

    @property
    def array(self) -> np.ndarray:
        blocks = self.integers.astype(np.float64) * self.scales.astype(np.float64)
        rows = blocks.reshape(len(blocks), -1)[:, : self._row_length]
        return rows.reshape(self._turned_shape).transpose(self._back)

    @property
    def _order(self) -> tuple[int, ...]:
        """The weight's axes, those of rows first."""
        return (*self.row_axes, *(axis for axis in range(len(self.shape)) if axis not in self.row_axes))

    @property
    def _back(self) -> tuple[int, ...]:
        return tuple(int(axis) for axis in np.argsort(self._order))

    @property
    def _turned_shape(self) -> tuple[int, ...]:
        return tuple(self.shape[axis] for axis in self._order)

    @property
    def _row_length(self) -> int:
        return math.prod(self.shape) // max(len(self.integers), 1)

    def multiply(self, builder: GraphBuilder, node: ir.Node, name: str, known: dict[str, ir.Value]) -> None:
        """Let onnxruntime's MatMulNBits take the place of a MatMul by this weight, which stays packed in memory.

        Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md (com.microsoft.MatMulNBits).

        Args:
            known: the weight in the form of that operator, by what it is; empty before its first reader.
        """
        if not known:
            unsigned = (self.integers.astype(np.int16) + 8).astype(np.uint8)
            known["packed"] = builder.initializer(f"{name}:int4", unsigned[:, :, 0::2] | (unsigned[:, :, 1::2] << 4))
            known["scales"] = builder.initializer(f"{name}:scale", self.scales[:, :, 0].astype(np.float32))
        attributes = {
            "K": self.shape[0],
            "N": self.shape[1],
            "bits": 4,
            "block_size": self.integers.shape[2],
            # The input of each block is quantized to 8 bits too; otherwise it is slower than float for several rows.
            "accuracy_level": 4,
        }
        inputs = [node.inputs[0], known["packed"], known["scales"]]
        builder.replace_node(node, "MatMulNBits", inputs, attributes=attributes, domain="com.microsoft")

    def restore(self, builder: GraphBuilder, name: str) -> ir.Value:
        rows, blocks, length = self.integers.shape
        unsigned = (self.integers.astype(np.int16) + 8).astype(np.uint8)
        packed = unsigned[:, :, : length // 2] | (unsigned[:, :, length // 2 :] << 4)
        half = {"shape": (rows, blocks, length // 2), "dtype": FLOAT}
        whole = {"shape": (rows, blocks, length), "dtype": FLOAT}

        def number(value: float) -> ir.Value:
            return builder.initializer(f"{name}:number", np.array(value, dtype=np.float32))

        def step(operator: str, inputs: list[ir.Value], kind: dict[str, Any], **attributes: int) -> ir.Value:
            return builder.op(operator, inputs, f"{name}:{operator}", **kind, attributes=attributes)

        both = step("Cast", [builder.initializer(f"{name}:int4", packed)], half, to=int(FLOAT))
        upper = step("Floor", [step("Mul", [both, number(1 / 16)], half)], half)
        lower = step("Sub", [both, step("Mul", [upper, number(16)], half)], half)
        integers = step("Sub", [step("Concat", [lower, upper], whole, axis=2), number(8)], whole)
        scales = builder.initializer(f"{name}:scale", self.scales)
        scale = step("Cast", [scales], {"shape": self.scales.shape, "dtype": FLOAT}, to=int(FLOAT))
        weight = step("Mul", [integers, scale], whole)

        def reshaped(value: ir.Value, shape: tuple[int, ...]) -> ir.Value:
            target = builder.initializer(f"{name}:shape", np.array(shape, dtype=np.int64))
            return step("Reshape", [value, target], {"shape": shape, "dtype": FLOAT})

        if blocks * length != self._row_length:
            weight = reshaped(weight, (rows, blocks * length))
            bounds = [builder.initializer(f"{name}:bound", np.array([bound])) for bound in (0, self._row_length, 1)]
            weight = step("Slice", [weight, *bounds], {"shape": (rows, self._row_length), "dtype": FLOAT})
        weight = reshaped(weight, self._turned_shape)
        if self._back != tuple(range(len(self.shape))):
            turned = {"perm": self._back}
            weight = builder.op(
                "Transpose", [weight], f"{name}:turned", shape=self.shape, dtype=FLOAT, attributes=turned
            )
        if self.dtype != FLOAT:
            weight = step("Cast", [weight], {"shape": self.shape, "dtype": self.dtype}, to=int(self.dtype))
        return weight


def store_float16(weight: np.ndarray) -> Float16Weight | str:
    """Store a weight in half precision; return the reason where that cannot be.

    Args:
        weight: floats of any shape.
    """
    if weight.dtype.itemsize <= 2:
        return "it has 16 bits already"
    if not np.isfinite(weight).all():
        return "it is not finite"
    if float(np.abs(weight).max(initial=0.0)) > FLOAT16_MAX:
        return "it holds numbers beyond what float16 can (65504)"
    return Float16Weight(dtype=ir.DataType.from_numpy(weight.dtype), halves=weight.astype(np.float16))


def store_int8(weight: np.ndarray, row_axes: tuple[int, ...]) -> IntegerWeight | str:
    """Store a weight in symmetric 8-bit integers with a scale for each row; return the reason where that cannot be.

    Args:
        weight: floats of any shape.
    """
    return _store_integers(weight, row_axes, np.dtype(np.int8), WEIGHT_MAX)


def store_int16(weight: np.ndarray, row_axes: tuple[int, ...]) -> IntegerWeight | str:
    """Store a weight in symmetric 16-bit integers with a scale for each row; return the reason where that cannot be.

    Numbers near the largest of a row are 16 times as exact as in float16, which keeps 11 bits of each.

    Args:
        weight: floats of any shape.
    """
    if weight.dtype.itemsize <= 2:
        return "it has 16 bits already"
    return _store_integers(weight, row_axes, np.dtype(np.int16), np.iinfo(np.int16).max)


def _store_integers(
    weight: np.ndarray, row_axes: tuple[int, ...], dtype: np.dtype, largest: int
) -> IntegerWeight | str:
    if not np.isfinite(weight).all():
        return "it is not finite"
    other_axes = tuple(axis for axis in range(weight.ndim) if axis not in row_axes)
    exact = weight.astype(np.float64)
    scales = np.abs(exact).max(axis=other_axes, keepdims=True, initial=0.0) / largest
    if scales.max(initial=0.0) > np.finfo(np.float32).max:
        return "it holds numbers beyond what float32 can"
    scales = np.where(scales < np.finfo(np.float32).tiny, 1.0, scales).astype(np.float32)
    integers = np.clip(np.rint(exact / scales), -largest, largest).astype(dtype)
    return IntegerWeight(dtype=ir.DataType.from_numpy(weight.dtype), integers=integers, scales=scales)


def store_int4(weight: np.ndarray, row_axes: tuple[int, ...], block: int) -> Int4Weight | str:
    """Store a weight in 4-bit integers with a scale for each block of a row; return the reason where that cannot be.

    Of a number of scales the one with the least squared error is taken. A scale may be negative: the grid reaches from
    -8 to 7, and the larger end serves the larger number.

    Args:
        weight: floats of any shape.
        block: even.
    """
    if not np.isfinite(weight).all():
        return "it is not finite"
    order = (*row_axes, *(axis for axis in range(weight.ndim) if axis not in row_axes))
    rows = math.prod(weight.shape[axis] for axis in row_axes)
    flat = weight.astype(np.float32).transpose(order).reshape(rows, -1)
    flat = np.pad(flat, ((0, 0), (0, -flat.shape[1] % block)))
    blocks = flat.reshape(rows, -1, block)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2, keepdims=True), axis=2)
    if float(np.abs(extreme).max(initial=0.0)) > FLOAT16_MAX:
        return "it holds numbers beyond what float16 can (65504)"
    scales = np.zeros(extreme.shape, dtype=np.float16)
    integers = np.zeros(blocks.shape, dtype=np.int8)
    least = np.full(extreme.shape, np.inf)
    for divisor in _INT4_DIVISORS:
        tried = (extreme / np.float32(divisor)).astype(np.float16)
        divided = np.divide(blocks, tried, out=np.zeros_like(blocks), where=tried != 0)
        rounded = np.clip(np.rint(divided), -8, 7)
        error = np.square(rounded * tried - blocks).sum(axis=2, keepdims=True, dtype=np.float64)
        better = error < least
        scales, least = np.where(better, tried, scales), np.where(better, error, least)
        integers = np.where(better, rounded, integers).astype(np.int8)
    return Int4Weight(
        dtype=ir.DataType.from_numpy(weight.dtype),
        integers=integers,
        scales=scales,
        shape=weight.shape,
        row_axes=row_axes,
    )


def sqnr_db(weight: np.ndarray, stored: Stored) -> float:
    """Return the weight's power over that of its error, in decibels; infinite where there is no error."""
    exact = weight.astype(np.float64)
    error = float(np.square(exact - stored.array).sum())
    signal = float(np.square(exact).sum())
    return float("inf") if error == 0 or signal == 0 else float(10 * np.log10(signal / error))
