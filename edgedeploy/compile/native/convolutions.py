"""Convolutions of floats: calls of the kernels in kernels/rows.h, kernels/depthwise.h and kernels/spread.h."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.finish import ADDED, UNFINISHED, finish_of
from edgedeploy.compile.native.graph import Node
from edgedeploy.compile.native.layout import channels_last
from edgedeploy.compile.native.packing import COLUMNS, packed_bias, packed_depthwise, packed_kernel, packed_matrix
from edgedeploy.compile.native.windows import Window, transposed_window, window_of


def has_constant_weights(node: Node) -> bool:
    """Tell whether a convolution's weights and bias are known now, so that they can be packed."""
    return all(value is None or value.constant is not None for value in (node.input(1), node.input(2)))


def has_kernel(node: Node) -> bool:
    """Tell whether a Conv or ConvTranspose has a kernel: one of floats over one or two dimensions, weights known."""
    values = (node.needed(0), node.needed(1), node.output)
    is_float = all(value.dtype.name == "float32" for value in values)
    return is_float and len(node.needed(0).shape) in (3, 4) and has_constant_weights(node)


def conv(emitter: Emitter, node: Node) -> bool:
    """Write a Conv; False when it has no kernel."""
    source, weights, result = node.needed(0), node.needed(1), node.output
    if not has_kernel(node):
        return False
    window = window_of(node, weights.shape[2:])
    groups, order = int(node.get("group", 1)), channels_last(len(source.shape))
    channels, columns = source.shape[1], weights.shape[0]
    pixels, out_pixels = int(np.prod(window.image)), int(np.prod(window.out))
    read = emitter.ordered(source, order).pointer
    added = node.get(ADDED, None)
    add = emitter.ordered(added, order).pointer if added is not None else None
    target = emitter.define(result, order)
    depthwise = groups == channels and weights.shape[1] == 1 and columns == groups and added is None
    call = _Conv(emitter, node, window, groups, channels, columns, *_packed(emitter, node, groups, depthwise))
    for image in range(source.shape[0]):
        x = f"{read} + {image * pixels * channels}"
        y = f"{target.pointer} + {image * out_pixels * columns}"
        plus = f"{add} + {image * out_pixels * columns}" if add is not None else "NULL"
        if depthwise:
            call.depthwise(x, y)
        elif window.is_point and groups == 1:
            call.product(x, y, plus, pixels)
        else:
            call.window(x, y, plus)
    return True


def _packed(emitter: Emitter, node: Node, groups: int, depthwise: bool) -> tuple[str, str]:
    """Pack weights and bias as the kernel reads them; the C pointers of both."""
    kernel, bias = node.constant(1), node.constant(2)
    assert kernel is not None
    columns = kernel.shape[0]
    if depthwise:
        weights = emitter.weight(packed_depthwise(kernel))
        return weights.token, emitter.weight(np.zeros(columns, np.float32) if bias is None else bias).token
    weights = emitter.weight(packed_kernel(kernel, groups))
    return weights.token, emitter.weight(packed_bias(bias, columns // groups, groups)).token


@dataclass(frozen=True)
class _Conv:
    """What the calls for each image of a batch have in common."""

    emitter: Emitter
    node: Node
    geometry: Window
    groups: int
    channels: int
    columns: int
    weights: str
    biases: str

    def depthwise(self, x: str, y: str) -> None:
        self.emitter.emit(
            f"depthwise({x}, {self.weights}, {self.biases}, {y}, {self.channels}, &{self.geometry.c()}, "
            f"{finish_of(self.node)});"
        )

    def product(self, x: str, y: str, plus: str, pixels: int) -> None:
        self.emitter.emit(
            f"matmul({x}, {self.channels}, {self.weights}, {self.biases}, {plus}, {y}, {self.columns}, "
            f"{pixels}, {self.columns}, {self.channels}, {finish_of(self.node)});"
        )

    def window(self, x: str, y: str, plus: str) -> None:
        depth = self.channels // self.groups
        self.emitter.emit(
            f"conv({x}, {self.weights}, {self.biases}, {plus}, {y}, {self.groups}, {depth}, "
            f"{self.columns // self.groups}, &{self.geometry.c()}, {self.emitter.zeros(depth)}, "
            f"{finish_of(self.node)});"
        )


def conv_transpose(emitter: Emitter, node: Node) -> bool:
    """Write a product of each pixel with all places of the window, whose results are then added where they belong.

    False when it has no kernel.
    """
    source, weights, result = node.needed(0), node.needed(1), node.output
    if not has_kernel(node):
        return False
    kernel, bias = node.constant(1), node.constant(2)
    assert kernel is not None
    groups, order = int(node.get("group", 1)), channels_last(len(source.shape))
    channels, per_group = source.shape[1], weights.shape[1]
    depth, columns = channels // groups, per_group * groups
    window = transposed_window(node)
    taps, pixels, out_pixels = (int(np.prod(extents)) for extents in (window.kernel, window.out, window.image))
    read = emitter.ordered(source, order).pointer
    target = emitter.define(result, order)
    wide = taps * per_group
    products = emitter.buffer(np.dtype(np.float32), pixels * groups * wide)
    no_bias = emitter.weight(packed_bias(None, wide))
    # [channels, per_group, *window] → [group][depth, taps * per_group]
    by_group = kernel.reshape(groups, depth, per_group, taps).transpose(0, 1, 3, 2).reshape(groups, depth, wide)
    packed = emitter.weight(np.stack([packed_matrix(matrix) for matrix in by_group]))
    block = -(-wide // COLUMNS) * COLUMNS * depth
    biases = emitter.weight(np.zeros(columns, np.float32) if bias is None else bias)
    for image in range(source.shape[0]):
        for group in range(groups):
            emitter.emit(
                f"matmul({read} + {image * pixels * channels + group * depth}, {channels}, "
                f"{packed.token} + {group * block}, {no_bias.token}, NULL, {products.token} + {group * wide}, "
                f"{groups * wide}, {pixels}, {wide}, {depth}, {UNFINISHED});"
            )
        emitter.emit(
            f"spread({products.token}, {biases.token}, {target.pointer} + {image * out_pixels * columns}, {groups}, "
            f"{per_group}, &{window.c()}, {finish_of(node)});"
        )
    return True
