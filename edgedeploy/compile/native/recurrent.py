"""LSTM and GRU, unrolled into products for all steps at once and small ones for each: kernels/recurrent.h."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.finish import UNFINISHED
from edgedeploy.compile.native.graph import Node
from edgedeploy.compile.native.layout import Place, dense
from edgedeploy.compile.native.packing import packed_bias, packed_matrix

_DEFAULT = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}
_FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class _Sizes:
    steps: int
    batch: int
    inputs: int
    hidden: int
    directions: int


def recurrent(emitter: Emitter, node: Node) -> bool:
    """Write an LSTM or GRU.

    False for what is rare: peepholes, other activations, clipping, lengths for each sample, computed weights.
    """
    source, weights, again = node.needed(0), node.needed(1), node.needed(2)
    bias, lengths, peepholes = node.input(3), node.input(4), node.input(7)
    direction = node.get("direction", "forward")
    wanted = _DEFAULT[node.op] * (2 if direction == "bidirectional" else 1)
    activations = [each.lower() for each in node.get("activations", None) or wanted]
    steps, batch, inputs = source.shape
    if (
        source.dtype.name != "float32"
        or weights.constant is None
        or again.constant is None
        or (bias is not None and bias.constant is None)
        or (lengths is not None and (lengths.constant is None or np.any(lengths.constant != steps)))
        or peepholes is not None
        or activations != wanted
        or node.get("clip", 0.0)
        or node.get("input_forget", 0)
        or node.get("layout", 0)
    ):
        return False
    sizes = _Sizes(steps, batch, inputs, again.shape[2], weights.shape[0])
    read = emitter.ordered(source).pointer
    every, last, cells = ([*node.outputs, None, None, None])[:3]
    targets = [None if value is None else emitter.define(value) for value in (every, last, cells)]
    for number in range(sizes.directions):
        backwards = direction == "reverse" or number == 1
        _direction(emitter, node, sizes, number, backwards, read, targets)
    return True


def _direction(
    emitter: Emitter,
    node: Node,
    sizes: _Sizes,
    number: int,
    backwards: bool,
    read: str,
    targets: list[Place | None],
) -> None:
    steps, batch, hidden = sizes.steps, sizes.batch, sizes.hidden
    gates = 4 if node.op == "LSTM" else 3
    wide = gates * hidden
    weights, again = node.constant(1), node.constant(2)
    assert weights is not None and again is not None
    for_input, for_hidden = _biases(node, number, wide, hidden)
    # What the input adds to the gates, for all steps at once.
    given = emitter.buffer(_FLOAT, steps * batch * wide)
    emitter.emit(
        f"matmul({read}, {sizes.inputs}, {emitter.weight(packed_matrix(weights[number].T)).token}, "
        f"{emitter.weight(packed_bias(for_input, wide)).token}, NULL, {given.token}, {wide}, {steps * batch}, {wide}, "
        f"{sizes.inputs}, {UNFINISHED});"
    )
    state = _state(emitter, node, 5, sizes, number)
    lines = ["{", f"const float *x = {given.token};", f"float *h = {state};"]
    lines.append(f"for (int i = 0; i < {steps}; i++) {{")
    lines.append(f"    const int t = {f'{steps - 1} - i' if backwards else 'i'};")
    lines.append(f"    const float *g = x + (long)t * {batch * wide};")
    if node.op == "LSTM":
        cell = _state(emitter, node, 6, sizes, number)
        sums = emitter.buffer(_FLOAT, batch * wide).token
        lines.append("    " + _product(emitter, again[number].T, None, "h", "g", sums, sizes, wide, wide))
        lines.append(f"    lstm_step({sums}, h, {cell}, {batch}, {hidden});")
    else:
        cell = ""
        lines += _gru(emitter, node, again[number], for_hidden[2 * hidden :], sizes)
    every, last, cells = targets
    block, line = batch * hidden, sizes.directions * batch * hidden
    if every is not None:
        lines.append(f"    memcpy({every.pointer} + (long)t * {line} + {number * block}, h, {block} * sizeof(float));")
    lines.append("}")
    if last is not None:
        lines.append(f"memcpy({last.pointer} + {number * block}, h, {block} * sizeof(float));")
    if cells is not None and cell:
        lines.append(f"memcpy({cells.pointer} + {number * block}, {cell}, {block} * sizeof(float));")
    emitter.emit("\n".join([*lines, "}"]))


def _biases(node: Node, number: int, wide: int, hidden: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the biases of one direction, float32 [wide]: of the product with the input, and with the hidden state.

    Both are one, in the first, but where the hidden state's own is reset with it.
    """
    bias = node.constant(3)
    for_input = np.zeros(wide, np.float32) if bias is None else bias[number, :wide].copy()
    for_hidden = np.zeros(wide, np.float32) if bias is None else bias[number, wide:].copy()
    apart = 2 * hidden if node.op == "GRU" and node.get("linear_before_reset", 0) else wide
    for_input[:apart] += for_hidden[:apart]
    for_hidden[:apart] = 0
    return for_input, for_hidden


def _gru(emitter: Emitter, node: Node, again: np.ndarray, bias: np.ndarray, sizes: _Sizes) -> list[str]:
    batch, hidden = sizes.batch, sizes.hidden
    wide = 3 * hidden
    sums = emitter.buffer(_FLOAT, batch * 2 * hidden).token
    made = emitter.buffer(_FLOAT, batch * hidden).token
    first, second = again[: 2 * hidden].T, again[2 * hidden :].T
    lines = ["    " + _product(emitter, first, None, "h", "g", sums, sizes, 2 * hidden, wide)]
    if node.get("linear_before_reset", 0):
        lines.append("    " + _product(emitter, second, bias, "h", "NULL", made, sizes, hidden, hidden))
        lines.append(f"    gru_step({sums}, g + {2 * hidden}, {wide}, {made}, h, {batch}, {hidden});")
        return lines
    reset = emitter.buffer(_FLOAT, batch * hidden).token
    lines.append(f"    gru_reset({sums}, h, {reset}, {batch}, {hidden});")
    lines.append("    " + _product(emitter, second, None, reset, f"g + {2 * hidden}", made, sizes, hidden, wide))
    lines.append(f"    gru_update({sums}, {made}, h, {batch}, {hidden});")
    return lines


def _product(
    emitter: Emitter,
    matrix: np.ndarray,
    bias: np.ndarray | None,
    rows: str,
    added: str,
    result: str,
    sizes: _Sizes,
    columns: int,
    added_stride: int,
) -> str:
    """Write one product of the hidden states; row by row where what is added has longer rows than the result."""
    packed = emitter.weight(packed_matrix(matrix)).token
    biases = emitter.weight(packed_bias(bias, columns)).token
    tail = f"{columns}, {sizes.hidden}, {UNFINISHED});"
    if added == "NULL" or added_stride == columns or sizes.batch == 1:
        return f"matmul({rows}, {sizes.hidden}, {packed}, {biases}, {added}, {result}, {columns}, {sizes.batch}, {tail}"
    return (
        f"for (int b = 0; b < {sizes.batch}; b++) matmul({rows} + b * {sizes.hidden}, {sizes.hidden}, {packed}, "
        f"{biases}, {added} + b * {added_stride}, {result} + b * {columns}, {columns}, 1, {tail}"
    )


def _state(emitter: Emitter, node: Node, position: int, sizes: _Sizes, number: int) -> str:
    """Write the initial state of one direction, zeros where the model gives none; a pointer to it."""
    block = sizes.batch * sizes.hidden
    state = emitter.buffer(_FLOAT, block)
    given = node.input(position)
    if given is None:
        emitter.emit(f"memset({state.token}, 0, {block} * sizeof(float));")
    else:
        place = emitter.place(given)
        source = Place(place.buffer, place.offset + number * place.strides[0], place.strides[1:])
        emitter.copy(given.shape[1:], source=source, target=Place(state, 0, dense(given.shape[1:])))
    return state.token
