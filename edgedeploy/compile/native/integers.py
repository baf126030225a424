"""Products of 8-bit integers: calls of the kernels in kernels/integers.h."""

from __future__ import annotations

import numpy as np

from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.finish import finish_of
from edgedeploy.compile.native.formulas import literal
from edgedeploy.compile.native.graph import Node
from edgedeploy.compile.native.layout import Buffer, channels_last
from edgedeploy.compile.native.packing import (
    INTEGER_STEP,
    integer_columns,
    packed_along,
    packed_depthwise,
    packed_integers,
)
from edgedeploy.compile.native.quantize import PRODUCT, Integers
from edgedeploy.compile.native.windows import window_of

_MOST_ROWS = 8
"""Of a tile, on any core: `Q_ROWS` in kernels/integers.h."""

_NEIGHBOURS = 4
"""`DEPTHWISE_PIXELS` in kernels/integers.h."""


def conv(emitter: Emitter, node: Node) -> None:
    """Write a convolution: depthwise, of single pixels, or by windows that are gathered into patches."""
    source, result, product = node.needed(0), node.output, _product(node)
    window = window_of(node, product.weights.shape[2:])
    order, groups = channels_last(len(source.shape)), int(node.get("group", 1))
    channels, columns = source.shape[1], product.weights.shape[0]
    per_group, depth = columns // groups, channels // groups
    pixels, out_pixels, taps = (int(np.prod(extents)) for extents in (window.image, window.out, window.kernel))
    read = emitter.ordered(source, order).pointer
    target = emitter.define(result, order).pointer
    depthwise = groups == channels == columns
    weights, rescale = _packed(emitter, node, groups, depthwise)
    # What depthwise neighbours read of one row: see integer_depthwise in kernels/integers.h.
    row = channels * ((_NEIGHBOURS - 1) * window.strides[1] + window.kernel[1])
    zeros = emitter.weight(np.full(row if depthwise else depth, product.source_zero, np.int8)).token
    patches: Buffer | None = None
    for image in range(source.shape[0]):
        x, first = f"{read} + {image * pixels * channels}", image * out_pixels * columns
        if depthwise:
            call = f"integer_depthwise({x}, {weights}, {target}, {first}, {channels}, &{window.c()}, {zeros}, &to);"
        elif window.is_point and groups == 1:
            call = (
                f"integer_matmul({x}, {channels}, {weights}, 0, {target}, {first}, {columns}, {pixels}, "
                f"{columns}, {channels}, &to);"
            )
        else:
            if patches is None:
                patches = emitter.buffer(np.dtype(np.int8), _MOST_ROWS * taps * depth + INTEGER_STEP)
            call = (
                f"integer_conv({x}, {weights}, {target}, {first}, {groups}, {depth}, {per_group}, "
                f"&{window.c()}, {zeros}, {patches.token}, &to);"
            )
        emitter.emit("\n".join(["{", *_packed_so(product, depthwise), rescale, call, "}"]))


def _packed(emitter: Emitter, node: Node, groups: int, depthwise: bool) -> tuple[str, str]:
    """Pack a convolution's weights as its kernel reads them; their C pointer, and the declaration of `to`."""
    product = _product(node)
    if depthwise:
        return emitter.weight(packed_depthwise(product.weights)).token, _rescale(emitter, node, 1, 8)
    columns, depth = product.weights.shape[:2]
    by_group = product.weights.reshape(groups, columns // groups, depth, -1).transpose(0, 3, 2, 1)
    matrices = [packed_integers(matrix.reshape(-1, columns // groups), product.dot_product) for matrix in by_group]
    weights = emitter.weight(np.stack(matrices)).token
    return weights, _rescale(emitter, node, groups, integer_columns(product.dot_product))


def matmul(emitter: Emitter, node: Node) -> None:
    """Write a MatMul or Gemm: rows of all batches are rows of one product."""
    source, product = node.needed(0), _product(node)
    k, n = product.weights.shape
    read = emitter.ordered(source).pointer
    target = emitter.define(node.output).pointer
    weights = emitter.weight(packed_integers(product.weights, product.dot_product))
    rescale = _rescale(emitter, node, 1, integer_columns(product.dot_product))
    call = f"integer_matmul({read}, {k}, {weights.token}, 0, {target}, 0, {n}, {source.size // k}, {n}, {k}, &to);"
    emitter.emit("\n".join(["{", *_packed_so(product, False), rescale, call, "}"]))


def _product(node: Node) -> Integers:
    found = node.attributes[PRODUCT]
    assert isinstance(found, Integers)
    return found


def _packed_so(product: Integers, depthwise: bool) -> list[str]:
    """Write an assertion that the C is compiled for the core that the weights are packed for."""
    if depthwise:
        return []
    width = integer_columns(product.dot_product)
    return [f'_Static_assert(Q_COLS == {width} && Q_STEP == {INTEGER_STEP}, "weights are packed for another core");']


def _rescale(emitter: Emitter, node: Node, groups: int, width: int) -> str:
    """Write the C declaration of `to`: `struct rescale` of kernels/integers.h."""
    product = _product(node)
    bias = emitter.weight(packed_along(product.bias, groups, width))
    scale = emitter.weight(packed_along(product.scale, groups, width))
    whole = "true" if node.output.dtype == np.int8 else "false"
    low, high = (literal(each) for each in product.bounds)
    return (
        f"const struct rescale to = {{{bias.token}, {scale.token}, {whole}, {product.zero}, {low}, {high}, "
        f"{finish_of(node)[1:]}}};"
    )
