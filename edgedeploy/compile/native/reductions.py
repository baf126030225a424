"""Pooling, reductions, and the normalizations that use them: kernels/pool.h and kernels/normalize.h."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.formulas import literal
from edgedeploy.compile.native.graph import Node, Value
from edgedeploy.compile.native.layout import C_TYPES, Place, channels_last, memory_order
from edgedeploy.compile.native.loops import Element, Index, Nest, collapse, for_loops
from edgedeploy.compile.native.windows import window_of

_SIDE_BY_SIDE = 8
"""Elements in a row from which on eight sums are written in place of one."""


def pool(emitter: Emitter, node: Node) -> bool:
    """Write a MaxPool or AveragePool; False when it is none of floats over one or two dimensions."""
    source, result = node.needed(0), node.output
    if source.dtype.name != "float32" or len(source.shape) not in (3, 4) or len(node.outputs) > 1:
        return False
    window = window_of(node, node.get("kernel_shape", []))
    order = channels_last(len(source.shape))
    read, target = emitter.ordered(source, order).pointer, emitter.define(result, order)
    channels = source.shape[1]
    mean = "true" if node.op == "AveragePool" else "false"
    padding = "true" if node.get("count_include_pad", 0) else "false"
    sizes = int(np.prod(window.image)) * channels, int(np.prod(window.out)) * channels
    for image in range(source.shape[0]):
        emitter.emit(
            f"pool({read} + {image * sizes[0]}, {target.pointer} + {image * sizes[1]}, {channels}, &{window.c()}, "
            f"{mean}, {padding}, {window.after[0]}, {window.after[1]});"
        )
    return True


@dataclass(frozen=True)
class _Reduction:
    """The C of one kind of reduction."""

    begin: str | None
    """What the result is before the first element; None takes that element."""
    step: Callable[[str, str], str]
    """The statement that takes an element into a result: gets the names of both, the result's first."""
    end: str = "s"
    """The result, of what all elements gave, `s`, and of how many they are, `count`."""
    join: Callable[[str, str], str] | None = None
    """The statement that takes one partial result into another, where that is no `step`."""


def _add(result: str, element: str) -> str:
    return f"{result} += {element}"


def _add_square(result: str, element: str) -> str:
    return f"{result} += {element} * {element}"


def _add_size(result: str, element: str) -> str:
    return f"{result} += {element} < 0 ? -{element} : {element}"


_REDUCTIONS = {
    "ReduceSum": _Reduction("0", _add),
    "ReduceMean": _Reduction("0", _add, "s / count"),
    "ReduceMax": _Reduction(None, lambda result, element: f"{result} = n_max({element}, {result})"),
    "ReduceMin": _Reduction(None, lambda result, element: f"{result} = n_min({element}, {result})"),
    "ReduceProd": _Reduction("1", lambda result, element: f"{result} *= {element}"),
    "ReduceSumSquare": _Reduction("0", _add_square, join=_add),
    "ReduceL1": _Reduction("0", _add_size, join=_add),
    "ReduceL2": _Reduction("0", _add_square, "sqrtf(s)", join=_add),
    "ReduceLogSum": _Reduction("0", _add, "logf(s)"),
}
_GLOBAL_POOLS = {"GlobalAveragePool": "ReduceMean", "GlobalMaxPool": "ReduceMax"}
_OF_FLOATS = ("ReduceL2", "ReduceLogSum", "ReduceMean")


def reduce(emitter: Emitter, node: Node) -> bool:
    """Write a reduction or a global pooling; False for types that have no kernel."""
    source, result = node.needed(0), node.output
    if node.op in _GLOBAL_POOLS:
        axes, kind = list(range(2, len(source.shape))), _GLOBAL_POOLS[node.op]
    else:
        kind, rank = node.op, len(source.shape)
        given = node.constant(1)
        listed = node.get("axes", None) if given is None else given.tolist()
        if not listed and node.get("noop_with_empty_axes", 0):
            emitter.alias(result, emitter.place(source))
            return True
        axes = sorted({int(axis) % rank for axis in listed}) if listed else list(range(rank))
    if source.dtype.kind not in "fiu" or source.dtype.name == "float16" or not source.size:
        return False
    if kind in _OF_FLOATS and source.dtype.name != "float32":
        return False
    write_reduction(emitter, kind, source, emitter.place(source), axes, result)
    return True


def write_reduction(emitter: Emitter, kind: str, source: Value, place: Place, axes: list[int], result: Value) -> None:
    """Reduce along `axes`. Where the memory's innermost dimension is kept, sums run side by side, else one by one."""
    shape = source.shape
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    order = memory_order(shape, place.strides)
    # The result's own dimensions, with those that were reduced put back as repeated ones, or without.
    full = len(result.shape) == len(shape)
    target = emitter.define(result, order if full else None)
    if full:
        to = [0 if axis in axes else target.strides[axis] for axis in range(len(shape))]
    else:
        to = [0] * len(shape)
        for axis, stride in zip(kept, target.strides, strict=True):
            to[axis] = stride
    outer = collapse(shape, [axis for axis in order if axis in kept], [to, place.strides])
    inner = collapse(shape, [axis for axis in order if axis in axes], [place.strides])
    ctype = C_TYPES[source.dtype.name]
    count = literal(int(np.prod([shape[axis] for axis in axes])), source.dtype)
    lines = [f"const {ctype} *restrict x = {place.pointer};", f"{ctype} *restrict y = {target.pointer};"]
    if outer.extents and outer.strides[1][-1] == 1 and inner.extents:
        lines += _side_by_side(outer, inner, ctype, _REDUCTIONS[kind], count)
    else:
        lines += _one_by_one(outer, inner, ctype, _REDUCTIONS[kind], count)
    emitter.emit("{\n" + "\n".join(lines) + "\n}")


def _one_by_one(outer: Nest, inner: Nest, ctype: str, reduction: _Reduction, count: str) -> list[str]:
    """Write one sum after the other."""
    source = outer.index(1, "o")
    first = str(Element("x", source)) if reduction.begin is None else reduction.begin
    lines = [*for_loops(outer.extents, "o"), "{"]
    last = inner.extents[-1] if inner.extents else 1
    if inner.extents and last >= _SIDE_BY_SIDE and ctype == "float" and inner.strides[0][-1] == 1:
        row = source + Index.spelled_out(inner.strides[0][:-1])
        lines += _eight_sums(inner.extents, row, ctype, reduction, first)
    else:
        element = Element("x", source + inner.index(0))
        step = reduction.step("s", "v")
        lines += [f"{ctype} s = {first};", *for_loops(inner.extents), f"{{ const {ctype} v = {element}; {step}; }}"]
    result = Element("y", outer.index(0, "o"))
    return [*lines, f"const {ctype} count = {count}; (void)count;", f"{result} = {reduction.end};", "}"]


def _eight_sums(extents: Sequence[int], row: Index, ctype: str, reduction: _Reduction, first: str) -> list[str]:
    """Write eight sums side by side, which the compiler may not make of one by itself."""
    last = extents[-1]
    join = reduction.join or reduction.step
    return [
        f"{ctype} t[8];",
        f"for (int l = 0; l < 8; l++) t[l] = {first};",
        f"{ctype} s = {first};",
        *for_loops(extents[:-1]),
        "{",
        f"const {ctype} *restrict r = x + {row};",
        "int k = 0;",
        f"for (; k + 8 <= {last}; k += 8)",
        "    for (int l = 0; l < 8; l++) {",
        f"    const {ctype} v = r[k + l]; {reduction.step('t[l]', 'v')};",
        "    }",
        f"for (; k < {last}; k++) {{ const {ctype} v = r[k]; {reduction.step('s', 'v')}; }}",
        "}",
        f"for (int l = 0; l < 8; l++) {{ const {ctype} v = t[l]; {join('s', 'v')}; }}",
    ]


def _side_by_side(outer: Nest, inner: Nest, ctype: str, reduction: _Reduction, count: str) -> list[str]:
    """Write the sums of neighbours at once: the innermost loop goes along what is kept."""
    width = outer.extents[-1]
    base_y, base_x = (Index.start(0) + Index.spelled_out(strides[:-1], "o") for strides in outer.strides)
    step_y = outer.strides[0][-1]
    first = "a[c]" if reduction.begin is None else reduction.begin
    columns = f"for (int c = 0; c < {width}; c++)"
    result, step = f"b[c * {step_y}]", reduction.step("s", "v")
    return [
        *for_loops(outer.extents[:-1], "o"),
        "{",
        f"const {ctype} *restrict a = x + {base_x};",
        f"{ctype} *restrict b = y + {base_y};",
        f"const {ctype} count = {count}; (void)count;",
        f"{columns} {result} = {first};",
        *for_loops(inner.extents),
        f"{{ const {ctype} *restrict r = a + {inner.index(0)};",
        f"{columns} {{ const {ctype} v = r[c]; {ctype} s = {result}; {step}; {result} = s; }} }}",
        f"{columns} {{ const {ctype} s = {result}; {result} = {reduction.end}; }}",
        "}",
    ]


def softmax(emitter: Emitter, node: Node) -> bool:
    """Write a Softmax or LogSoftmax; False when it is none of floats."""
    source, result = node.needed(0), node.output
    if source.dtype.name != "float32":
        return False
    rank = len(source.shape)
    old = emitter.graph.opset < 13
    axis = int(node.get("axis", 1 if old else -1)) % rank
    before, last = int(np.prod(source.shape[:axis])), source.shape[axis]
    if old:
        # Until opset 13 it went over all dimensions from `axis` on.
        after, last = 1, int(np.prod(source.shape[axis:]))
    else:
        after = int(np.prod(source.shape[axis + 1 :]))
    read, target = emitter.ordered(source).pointer, emitter.define(result)
    log = "true" if node.op == "LogSoftmax" else "false"
    emitter.emit(f"softmax({read}, {target.pointer}, {before}, {last}, {after}, {log});")
    return True


def layer_normalization(emitter: Emitter, node: Node) -> bool:
    """Write a LayerNormalization; False when it is none of floats, or gives its statistics too."""
    source, result = node.needed(0), node.output
    if source.dtype.name != "float32" or len(node.outputs) > 1:
        return False
    axis = int(node.get("axis", -1)) % len(source.shape)
    size = int(np.prod(source.shape[axis:]))
    scale, bias = node.needed(1), node.input(2)
    if scale.size != size or (bias is not None and bias.size != size):
        return False
    read, factor = emitter.ordered(source).pointer, emitter.ordered(scale).pointer
    plus = emitter.ordered(bias).pointer if bias is not None else emitter.zeros(size)
    target = emitter.define(result)
    emitter.emit(
        f"layer_norm({read}, {factor}, {plus}, {target.pointer}, {source.size // size}, {size}, "
        f"{literal(node.get('epsilon', 1e-5))});"
    )
    return True


def local_response(emitter: Emitter, node: Node) -> bool:
    """Write an LRN; False when it is none of pictures of floats."""
    source, result = node.needed(0), node.output
    if source.dtype.name != "float32" or len(source.shape) != 4:
        return False
    order = channels_last(4)
    read, target = emitter.ordered(source, order).pointer, emitter.define(result, order)
    channels = source.shape[1]
    emitter.emit(
        f"local_response({read}, {target.pointer}, {source.size // channels}, {channels}, {int(node.get('size', 1))}, "
        f"{literal(node.get('alpha', 1e-4))}, {literal(node.get('beta', 0.75))}, {literal(node.get('bias', 1.0))});"
    )
    return True
