"""Convolutions and matrix products: calls of the kernels in kernels/rows.h and kernels/depthwise.h."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedeploy.compile.native.elementwise import literal
from edgedeploy.compile.native.emit import Emitter, Place, broadcast, channels_last, dense
from edgedeploy.compile.native.graph import Node, Value
from edgedeploy.compile.native.packing import (
    COLUMNS,
    packed_bias,
    packed_depthwise,
    packed_kernel,
    packed_matrix,
)

ACTIVATION = "_activation"
"""Attribute of a node: the name in `enum activation` (kernels/base.h) with its alpha and beta, as `fuse` found it."""

ADDED = "_added"
"""Attribute of a node: the value that is added to its result before the activation."""


@dataclass(frozen=True)
class Window:
    """`struct window` of kernels/rows.h, with the padding at the far ends."""

    image: tuple[int, int]
    out: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]

    def c(self) -> str:
        pairs = (self.image, self.out, self.kernel, self.strides, self.dilations, self.before)
        return "(const struct window){" + ", ".join(str(number) for pair in pairs for number in pair) + "}"

    @property
    def is_point(self) -> bool:
        """Whether each pixel of the result hangs on the one at the same place alone."""
        return (
            self.kernel == (1, 1)
            and self.strides == (1, 1)
            and self.before == (0, 0)
            and self.after == (0, 0)
            and self.image == self.out
        )


def window_of(node: Node, kernel: Sequence[int]) -> Window:
    """The window of a convolution or pooling over one or two dimensions, one dimension being an image of height 1.

    Raises:
        UnsupportedError: there are more than two dimensions.
    """
    image, out = node.needed(0).shape[2:], node.output.shape[2:]
    rank = len(image)
    if rank not in (1, 2):
        raise node.refused(f"it goes over {rank} dimensions, and there are kernels for one and two")
    strides = list(node.get("strides", None) or [1] * rank)
    dilations = list(node.get("dilations", None) or [1] * rank)
    pads = list(node.get("pads", None) or [0] * (2 * rank))
    auto = node.get("auto_pad", "NOTSET")
    if auto == "VALID":
        pads = [0] * (2 * rank)
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max(0, (out[a] - 1) * strides[a] + (kernel[a] - 1) * dilations[a] + 1 - image[a]) for a in range(rank)
        ]
        small, large = [each // 2 for each in totals], [each - each // 2 for each in totals]
        pads = small + large if auto == "SAME_UPPER" else large + small

    def pair(each: Sequence[int], one: int) -> tuple[int, int]:
        return (one, int(each[0])) if rank == 1 else (int(each[0]), int(each[1]))

    return Window(
        pair(image, 1),
        pair(out, 1),
        pair(kernel, 1),
        pair(strides, 1),
        pair(dilations, 1),
        pair(pads[:rank], 0),
        pair(pads[rank:], 0),
    )


def finish_of(node: Node) -> str:
    name, alpha, beta = node.get(ACTIVATION, ("NONE", 0.0, 0.0))
    return f"&(const struct finish){{ACTIVATION_{name}, {literal(alpha)}, {literal(beta)}}}"


def has_constant_weights(node: Node) -> bool:
    """Whether a convolution's weights and bias are known now, so that they can be packed."""
    return all(value is None or value.constant is not None for value in (node.input(1), node.input(2)))


def conv(emitter: Emitter, node: Node) -> bool:
    """False when it is none of floats."""
    source, weights, result = node.needed(0), node.needed(1), node.output
    if any(value.dtype.name != "float32" for value in (source, weights, result)) or len(source.shape) not in (3, 4):
        return False
    if not has_constant_weights(node):
        return False
    window = window_of(node, weights.shape[2:])
    kernel, bias = node.constant(1), node.constant(2)
    assert kernel is not None
    groups, rank = int(node.get("group", 1)), len(source.shape)
    order = channels_last(rank)
    images, channels, columns = source.shape[0], source.shape[1], weights.shape[0]
    pixels, out_pixels = int(np.prod(window.image)), int(np.prod(window.out))
    read = emitter.ordered(source, order)
    added = node.get(ADDED, None)
    add = emitter.ordered(added, order) if added is not None else "NULL"
    target = emitter.define(result, order)
    depthwise = groups == channels and weights.shape[1] == 1 and columns == groups and added is None
    if depthwise:
        packed = emitter.weight(packed_depthwise(kernel))
        biases = emitter.weight(np.zeros(columns, np.float32) if bias is None else bias)
    else:
        packed = emitter.weight(packed_kernel(kernel, groups))
        biases = emitter.weight(packed_bias(bias, columns // groups, groups))
    for image in range(images):
        x = f"{read} + {image * pixels * channels}"
        y = f"{target.pointer} + {image * out_pixels * columns}"
        plus = f"{add} + {image * out_pixels * columns}" if added is not None else "NULL"
        if depthwise:
            emitter.say(
                f"depthwise({x}, {packed.token}, {biases.token}, {y}, {channels}, &{window.c()}, {finish_of(node)});"
            )
        elif window.is_point and groups == 1:
            emitter.say(
                f"matmul({x}, {channels}, {packed.token}, {biases.token}, {plus}, {y}, {columns}, "
                f"{pixels}, {columns}, {channels}, {finish_of(node)});"
            )
        else:
            depth = channels // groups
            emitter.say(
                f"conv({x}, {packed.token}, {biases.token}, {plus}, {y}, {groups}, {depth}, {columns // groups}, "
                f"&{window.c()}, {emitter.zeros(depth)}, {finish_of(node)});"
            )
    return True


def conv_transpose(emitter: Emitter, node: Node) -> bool:
    """A product of each pixel with all places of the window, whose results are then added where they belong."""
    source, weights, result = node.needed(0), node.needed(1), node.output
    if source.dtype.name != "float32" or len(source.shape) not in (3, 4) or not has_constant_weights(node):
        return False
    kernel, bias = node.constant(1), node.constant(2)
    assert kernel is not None
    groups, rank = int(node.get("group", 1)), len(source.shape)
    order = channels_last(rank)
    channels, per_group = source.shape[1], weights.shape[1]
    depth, columns = channels // groups, per_group * groups
    pads = _transposed_pads(node, rank - 2)

    def pair(each: Sequence[int], one: int) -> tuple[int, int]:
        return (one, int(each[0])) if rank == 3 else (int(each[0]), int(each[1]))

    strides = pair(node.get("strides", None) or [1] * (rank - 2), 1)
    dilations = pair(node.get("dilations", None) or [1] * (rank - 2), 1)
    # The window of the convolution that this one is the transpose of: from the result to the source.
    image, out = pair(result.shape[2:], 1), pair(source.shape[2:], 1)
    window = Window(image, out, pair(weights.shape[2:], 1), strides, dilations, pair(pads, 0), (0, 0))
    taps, pixels, out_pixels = int(np.prod(window.kernel)), int(np.prod(out)), int(np.prod(image))
    read = emitter.ordered(source, order)
    target = emitter.define(result, order)
    wide = taps * per_group
    between = emitter.buffer(np.dtype(np.float32), pixels * groups * wide)
    nothing = emitter.weight(packed_bias(None, wide))
    # [channels, per_group, *window] → [group][depth, taps * per_group]
    by_group = kernel.reshape(groups, depth, per_group, taps).transpose(0, 1, 3, 2).reshape(groups, depth, wide)
    packed = emitter.weight(np.stack([packed_matrix(each) for each in by_group]))
    block = -(-wide // COLUMNS) * COLUMNS * depth
    biases = emitter.weight(np.zeros(columns, np.float32) if bias is None else bias)
    for number in range(source.shape[0]):
        for group in range(groups):
            emitter.say(
                f"matmul({read} + {number * pixels * channels + group * depth}, {channels}, "
                f"{packed.token} + {group * block}, {nothing.token}, NULL, {between.token} + {group * wide}, "
                f"{groups * wide}, {pixels}, {wide}, {depth}, &(const struct finish){{ACTIVATION_NONE, 0, 0}});"
            )
        emitter.say(
            f"spread({between.token}, {biases.token}, {target.pointer} + {number * out_pixels * columns}, {groups}, "
            f"{per_group}, &{window.c()}, {finish_of(node)});"
        )
    return True


def _transposed_pads(node: Node, rank: int) -> list[int]:
    """What is cut off at the beginning of each dimension."""
    image, out = node.needed(0).shape[2:], node.output.shape[2:]
    auto = node.get("auto_pad", "NOTSET")
    if not node.get("output_shape", None) and auto in ("NOTSET", "VALID"):
        return list(node.get("pads", None) or [0] * (2 * rank))[:rank] if auto == "NOTSET" else [0] * rank
    strides = node.get("strides", None) or [1] * rank
    dilations = node.get("dilations", None) or [1] * rank
    extra = node.get("output_padding", None) or [0] * rank
    kernel = node.needed(1).shape[2:]
    totals = [strides[a] * (image[a] - 1) + extra[a] + (kernel[a] - 1) * dilations[a] + 1 - out[a] for a in range(rank)]
    return [each // 2 if auto == "SAME_UPPER" else each - each // 2 for each in totals]


def gemm(emitter: Emitter, node: Node) -> bool:
    a, b, result = node.needed(0), node.needed(1), node.output
    if result.dtype.name != "float32":
        return False
    alpha, beta = float(node.get("alpha", 1.0)), float(node.get("beta", 1.0))
    bias = node.input(2)
    m, n = result.shape
    left, right = emitter.place(a), None if b.constant is not None else emitter.place(b)
    if node.get("transA", 0):
        left = Place(left.buffer, left.offset, left.strides[::-1])
    if right is not None and node.get("transB", 0):
        right = Place(right.buffer, right.offset, right.strides[::-1])
    constant = b.constant.T if b.constant is not None and node.get("transB", 0) else b.constant
    if constant is not None:
        constant = constant * np.float32(alpha)
    elif alpha != 1:
        return False
    if bias is not None and bias.constant is None and beta != 1:
        return False
    product = _Product(m, n, constant.shape[0] if constant is not None else b.size // n)
    vector, added = None, node.get(ADDED, None)
    if bias is not None and bias.constant is not None and (bias.size == 1 or bias.shape[-1:] == (bias.size,)):
        vector = np.broadcast_to(bias.constant.reshape(-1) * np.float32(beta), (n,))
    elif bias is not None:
        if added is not None:
            return False
        added = bias
    product.write(emitter, node, left, constant, right, vector, added)
    return True


def matmul(emitter: Emitter, node: Node) -> bool:
    a, b, result = node.needed(0), node.needed(1), node.output
    if result.dtype.name != "float32" or not a.size or not b.size:
        return False
    k = a.shape[-1]
    left, right = emitter.place(a), None
    left_shape = a.shape if len(a.shape) > 1 else (1, k)
    left = left if len(a.shape) > 1 else Place(left.buffer, left.offset, (0, *left.strides))
    right_shape = b.shape if len(b.shape) > 1 else (k, 1)
    n, m = right_shape[-1], left_shape[-2]
    bias = node.get("_bias", None)
    if b.constant is not None and int(np.prod(right_shape[:-2])) == 1:
        # One matrix for all: rows of all batches are rows of one product, where they lie evenly.
        rows = a.size // k
        pointer = emitter.ordered(a)
        flat = emitter.at(pointer, (k, 1))
        matrix = b.constant.reshape(k, n)
        _Product(rows, n, k).write(emitter, node, flat, matrix, None, bias, node.get(ADDED, None))
        return True
    if bias is not None or node.get(ADDED, None) is not None:
        return False
    right = emitter.place(b)
    right = right if len(b.shape) > 1 else Place(right.buffer, right.offset, (*right.strides, 0))
    batch = np.broadcast_shapes(left_shape[:-2], right_shape[:-2])
    lefts = broadcast(left, left_shape, (*batch, m, k)).strides
    rights = broadcast(right, right_shape, (*batch, k, n)).strides
    if lefts[-1] != 1 and k > 1:
        pointer = emitter.ordered(a)
        left = emitter.at(pointer, dense(left_shape))
        lefts = broadcast(left, left_shape, (*batch, m, k)).strides
    target = emitter.define(result)
    packed = emitter.buffer(np.dtype(np.float32), -(-n // COLUMNS) * COLUMNS * k)
    nothing = emitter.weight(packed_bias(None, n))
    lines = ["{"]
    for axis, extent in enumerate(batch):
        lines.append(f"for (int b{axis} = 0; b{axis} < {extent}; b{axis}++)")
    steps = [
        " + ".join([str(offset), *(f"b{axis} * {stride}" for axis, stride in enumerate(strides[: len(batch)]))])
        for offset, strides in (
            (left.offset, lefts),
            (right.offset, rights),
            (0, tuple(each * m * n for each in dense(batch))),
        )
    ]
    lines.append("{")
    lines.append(f"pack({right.buffer.token} + {steps[1]}, {rights[-2]}, {rights[-1]}, {packed.token}, {n}, {k});")
    lines.append(
        f"matmul({left.buffer.token} + {steps[0]}, {lefts[-2]}, {packed.token}, {nothing.token}, NULL, "
        f"{target.pointer} + {steps[2]}, {n}, {m}, {n}, {k}, {finish_of(node)});"
    )
    lines.append("}}")
    emitter.say("\n".join(lines))
    return True


@dataclass(frozen=True)
class _Product:
    m: int
    n: int
    k: int

    def write(
        self,
        emitter: Emitter,
        node: Node,
        left: Place,
        constant: np.ndarray | None,
        right: Place | None,
        bias: np.ndarray | None,
        added: Value | None,
    ) -> None:
        """One product of two matrices; the result is dense."""
        m, n, k = self.m, self.n, self.k
        result = node.output
        if left.strides[1] != 1 and k > 1:
            copy = Place(emitter.buffer(np.dtype(np.float32), m * k), 0, (k, 1))
            emitter.copy((m, k), left, copy)
            left = copy
        add = "NULL"
        if added is not None:
            if added.shape == result.shape:
                add = emitter.ordered(added)
            else:
                whole = Place(emitter.buffer(np.dtype(np.float32), m * n), 0, dense(result.shape))
                emitter.copy(result.shape, broadcast(emitter.place(added), added.shape, result.shape), whole)
                add = whole.pointer
        if constant is not None:
            packed = emitter.weight(packed_matrix(constant))
        else:
            assert right is not None
            packed = emitter.buffer(np.dtype(np.float32), -(-n // COLUMNS) * COLUMNS * k)
            emitter.say(f"pack({right.pointer}, {right.strides[0]}, {right.strides[1]}, {packed.token}, {n}, {k});")
        biases = emitter.weight(packed_bias(bias, n))
        target = emitter.define(result)
        emitter.say(
            f"matmul({left.pointer}, {left.strides[0]}, {packed.token}, {biases.token}, {add}, {target.pointer}, "
            f"{n}, {m}, {n}, {k}, {finish_of(node)});"
        )
