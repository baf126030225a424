"""Products of matrices of floats: calls of the kernel in kernels/rows.h."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.finish import ADDED, BIAS, finish_of
from edgedeploy.compile.native.graph import Node, Value
from edgedeploy.compile.native.layout import Place, broadcast, dense
from edgedeploy.compile.native.loops import Index, for_loops
from edgedeploy.compile.native.packing import COLUMNS, packed_bias, packed_matrix

_FLOAT = np.dtype(np.float32)


def gemm_has_kernel(node: Node) -> bool:
    """Tell whether a Gemm has a kernel: one of floats that scales nothing known only when the model runs, and adds one
    thing beside a row of biases."""
    b, bias = node.needed(1), node.input(2)
    if node.output.dtype.name != "float32" or (b.constant is None and node.get("alpha", 1.0) != 1):
        return False
    if bias is not None and bias.constant is None and node.get("beta", 1.0) != 1:
        return False
    return bias is None or _is_row(bias) or node.get(ADDED, None) is None


def _is_row(bias: Value) -> bool:
    return bias.constant is not None and (bias.size == 1 or bias.shape[-1:] == (bias.size,))


def gemm(emitter: Emitter, node: Node) -> bool:
    """Write a Gemm; False when it has no kernel."""
    a, b, result = node.needed(0), node.needed(1), node.output
    if not gemm_has_kernel(node):
        return False
    alpha, beta = float(node.get("alpha", 1.0)), float(node.get("beta", 1.0))
    bias = node.input(2)
    m, n = result.shape
    left, right = emitter.place(a), None if b.constant is not None else emitter.place(b)
    if node.get("transA", 0):
        left = left.with_strides(left.strides[::-1])
    if right is not None and node.get("transB", 0):
        right = right.with_strides(right.strides[::-1])
    constant = b.constant.T if b.constant is not None and node.get("transB", 0) else b.constant
    if constant is not None:
        constant = constant * np.float32(alpha)
    vector, added = None, node.get(ADDED, None)
    if bias is not None and bias.constant is not None and _is_row(bias):
        vector = np.broadcast_to(bias.constant.reshape(-1) * np.float32(beta), (n,))
    elif bias is not None:
        added = bias
    matrix = constant if right is None else right
    assert matrix is not None
    _Product(m, n, b.size // n).write(emitter, node, left, matrix, vector, added)
    return True


def matmul_has_kernel(node: Node) -> bool:
    """Tell whether a MatMul has a kernel: one of floats that has elements; only one with one known matrix adds."""
    a, b = node.needed(0), node.needed(1)
    if node.output.dtype.name != "float32" or not a.size or not b.size:
        return False
    adds = node.get(BIAS, None) is not None or node.get(ADDED, None) is not None
    return _is_one_matrix(b) or not adds


def _is_one_matrix(b: Value) -> bool:
    return b.constant is not None and int(np.prod(b.shape[:-2])) == 1


def matmul(emitter: Emitter, node: Node) -> bool:
    """Write a MatMul; False when it has no kernel."""
    a, b = node.needed(0), node.needed(1)
    if not matmul_has_kernel(node):
        return False
    k = a.shape[-1]
    n = b.shape[-1] if len(b.shape) > 1 else 1
    left = emitter.place(a)
    bias = node.get(BIAS, None)
    if b.constant is not None and _is_one_matrix(b):
        # One matrix for all: rows of all batches are rows of one product, where they lie evenly.
        rows = a.size // k
        flat = emitter.ordered(a).with_strides((k, 1))
        _Product(rows, n, k).write(emitter, node, flat, b.constant.reshape(k, n), bias, node.get(ADDED, None))
        return True
    _batched(emitter, node, left)
    return True


def _batched(emitter: Emitter, node: Node, left: Place) -> None:
    """Write a product for each matrix of a batch; the right one is packed on the device."""
    a, b = node.needed(0), node.needed(1)
    right = emitter.place(b)
    left_shape = a.shape if len(a.shape) > 1 else (1, *a.shape)
    right_shape = b.shape if len(b.shape) > 1 else (*b.shape, 1)
    left = left if len(a.shape) > 1 else left.with_strides((0, *left.strides))
    right = right if len(b.shape) > 1 else right.with_strides((*right.strides, 0))
    (m, k), n = left_shape[-2:], right_shape[-1]
    batch = np.broadcast_shapes(left_shape[:-2], right_shape[:-2])
    lefts = broadcast(left, left_shape, (*batch, m, k)).strides
    rights = broadcast(right, right_shape, (*batch, k, n)).strides
    if lefts[-1] != 1 and k > 1:
        left = emitter.ordered(a).with_strides(dense(left_shape))
        lefts = broadcast(left, left_shape, (*batch, m, k)).strides
    target = emitter.define(node.output)
    packed = emitter.buffer(_FLOAT, -(-n // COLUMNS) * COLUMNS * k)
    no_bias = emitter.weight(packed_bias(None, n))

    def position(offset: int, strides: tuple[int, ...]) -> Index:
        return Index.start(offset) + Index.spelled_out(strides[: len(batch)], "b")

    results = tuple(stride * m * n for stride in dense(batch))
    lines = ["{", *for_loops(batch, "b"), "{"]
    lines.append(
        f"pack({right.buffer.token} + {position(right.offset, rights)}, {rights[-2]}, {rights[-1]}, {packed.token}, "
        f"{n}, {k});"
    )
    lines.append(
        f"matmul({left.buffer.token} + {position(left.offset, lefts)}, {lefts[-2]}, {packed.token}, {no_bias.token}, "
        f"NULL, {target.pointer} + {position(0, results)}, {n}, {m}, {n}, {k}, {finish_of(node)});"
    )
    emitter.emit("\n".join([*lines, "}}"]))


@dataclass(frozen=True)
class _Product:
    """One product of two matrices, [m, k] and [k, n]; the result is dense."""

    m: int
    n: int
    k: int

    def write(
        self,
        emitter: Emitter,
        node: Node,
        left: Place,
        right: np.ndarray | Place,
        bias: np.ndarray | None,
        added: Value | None,
    ) -> None:
        """Write it for the node's output.

        Args:
            right: a matrix that is known now and packed here, or where one lies that is packed on the device.
            bias: float32 [n].
            added: is added to the result, broadcast to its shape.
        """
        m, n, k = self.m, self.n, self.k
        if left.strides[1] != 1 and k > 1:
            copy = Place(emitter.buffer(_FLOAT, m * k), 0, (k, 1))
            emitter.copy((m, k), source=left, target=copy)
            left = copy
        add = "NULL" if added is None else self._added(emitter, added, node.output)
        if isinstance(right, Place):
            packed = emitter.buffer(_FLOAT, -(-n // COLUMNS) * COLUMNS * k)
            emitter.emit(f"pack({right.pointer}, {right.strides[0]}, {right.strides[1]}, {packed.token}, {n}, {k});")
        else:
            packed = emitter.weight(packed_matrix(right))
        biases = emitter.weight(packed_bias(bias, n))
        target = emitter.define(node.output)
        emitter.emit(
            f"matmul({left.pointer}, {left.strides[0]}, {packed.token}, {biases.token}, {add}, {target.pointer}, "
            f"{n}, {m}, {n}, {k}, {finish_of(node)});"
        )

    def _added(self, emitter: Emitter, added: Value, result: Value) -> str:
        """Return a pointer to what is added, as large as the result."""
        if added.shape == result.shape:
            return emitter.ordered(added).pointer
        whole = Place(emitter.buffer(_FLOAT, self.m * self.n), 0, dense(result.shape))
        emitter.copy(result.shape, source=broadcast(emitter.place(added), added.shape, result.shape), target=whole)
        return whole.pointer
