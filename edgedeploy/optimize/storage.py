"""Weights in fewer bits than they are computed with: how they are stored, and the nodes that give them back.

onnxruntime computes nodes whose inputs are all known when it loads a model, so what runs is the float model. It makes
an exception for DequantizeLinear (https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html,
constant folding), which is why weights are given back by Cast and Mul here.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.optimize.additions import Additions
from edgedeploy.optimize.integers import WEIGHT_MAX

FLOAT = ir.DataType.FLOAT
FLOAT16_MAX = float(np.finfo(np.float16).max)

_NODE_BYTES = 60
"""What a node takes in a file, with short names."""


class Stored(Struct, frozen=True, kw_only=True, eq=False):
    """A weight in fewer bits."""

    dtype: ir.DataType
    """What it is computed with."""

    @property
    def size_bytes(self) -> int:
        """What it takes in a file, nodes included."""
        raise NotImplementedError

    @property
    def array(self) -> np.ndarray:
        """What is given back, float64."""
        raise NotImplementedError

    def restore(self, at: Additions, name: str) -> ir.Value:
        """Nodes that give the weight back; `name` is that of the weight."""
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

    def restore(self, at: Additions, name: str) -> ir.Value:
        halves = at.weight(f"{name}:float16", self.halves)
        return at.node(
            "Cast",
            [halves],
            f"{name}:float",
            shape=self.halves.shape,
            dtype=self.dtype,
            attributes={"to": int(self.dtype)},
        )


class Int8Weight(Stored, frozen=True, kw_only=True, eq=False):
    """integers · scales, the latter float32 and broadcast to the shape of the former."""

    integers: np.ndarray
    scales: np.ndarray

    @property
    def size_bytes(self) -> int:
        return self.integers.nbytes + self.scales.nbytes + 2 * _NODE_BYTES

    @property
    def array(self) -> np.ndarray:
        return self.integers.astype(np.float64) * self.scales.astype(np.float64)

    def restore(self, at: Additions, name: str) -> ir.Value:
        shape = self.integers.shape
        integers, scales = at.weight(f"{name}:int8", self.integers), at.weight(f"{name}:scale", self.scales)
        # In float32 whatever the weight's type: onnxruntime has no kernels to multiply halves, so it would not fold.
        real = at.node("Cast", [integers], f"{name}:real", shape=shape, dtype=FLOAT, attributes={"to": int(FLOAT)})
        weight = at.node("Mul", [real, scales], f"{name}:float", shape=shape, dtype=FLOAT)
        if self.dtype != FLOAT:
            weight = at.node(
                "Cast", [weight], f"{name}:cast", shape=shape, dtype=self.dtype, attributes={"to": int(self.dtype)}
            )
        return weight


def store_float16(weight: np.ndarray) -> Float16Weight | str:
    """`weight` in half precision, or why that cannot be.

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


def store_int8(weight: np.ndarray, row_axes: tuple[int, ...]) -> Int8Weight | str:
    """`weight` in symmetric 8-bit integers with a scale for each index along `row_axes`, or why that cannot be.

    Args:
        weight: floats of any shape.
    """
    if not np.isfinite(weight).all():
        return "it is not finite"
    other_axes = tuple(axis for axis in range(weight.ndim) if axis not in row_axes)
    exact = weight.astype(np.float64)
    scales = np.abs(exact).max(axis=other_axes, keepdims=True, initial=0.0) / WEIGHT_MAX
    if scales.max(initial=0.0) > np.finfo(np.float32).max:
        return "it holds numbers beyond what float32 can"
    scales = np.where(scales < np.finfo(np.float32).tiny, 1.0, scales).astype(np.float32)
    integers = np.clip(np.rint(exact / scales), -WEIGHT_MAX, WEIGHT_MAX).astype(np.int8)
    return Int8Weight(dtype=ir.DataType.from_numpy(weight.dtype), integers=integers, scales=scales)


def sqnr_db(weight: np.ndarray, stored: Stored) -> float:
    """Power of the weight over that of its error, in decibels; infinite where there is no error."""
    exact = weight.astype(np.float64)
    error = float(np.square(exact - stored.array).sum())
    signal = float(np.square(exact).sum())
    return float("inf") if error == 0 or signal == 0 else float(10 * np.log10(signal / error))
