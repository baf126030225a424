"""Pooling, reductions, and what normalizes by them."""

from __future__ import annotations

import numpy as np

from edgedeploy.compile.native.elementwise import literal
from edgedeploy.compile.native.emit import C_TYPES, Emitter, Nest, Place, channels_last, collapse, index, memory_order
from edgedeploy.compile.native.graph import Node, Value
from edgedeploy.compile.native.products import window_of


def pool(emitter: Emitter, node: Node) -> bool:
    """MaxPool and AveragePool."""
    source, result = node.needed(0), node.output
    if source.dtype.name != "float32" or len(source.shape) not in (3, 4) or len(node.outputs) > 1:
        return False
    window = window_of(node, node.get("kernel_shape", []))
    order = channels_last(len(source.shape))
    read, target = emitter.ordered(source, order), emitter.define(result, order)
    channels = source.shape[1]
    mean = "true" if node.op == "AveragePool" else "false"
    padding = "true" if node.get("count_include_pad", 0) else "false"
    sizes = int(np.prod(window.image)) * channels, int(np.prod(window.out)) * channels
    for image in range(source.shape[0]):
        emitter.say(
            f"pool({read} + {image * sizes[0]}, {target.pointer} + {image * sizes[1]}, {channels}, &{window.c()}, "
            f"{mean}, {padding}, {window.after[0]}, {window.after[1]});"
        )
    return True


# How each reduction begins, goes on with an element `v`, and ends, with the number of elements `count`.
_KINDS = {
    "ReduceSum": ("0", "s += v", "s"),
    "ReduceMean": ("0", "s += v", "s / count"),
    "ReduceMax": ("first", "s = n_max(v, s)", "s"),
    "ReduceMin": ("first", "s = n_min(v, s)", "s"),
    "ReduceProd": ("1", "s *= v", "s"),
    "ReduceSumSquare": ("0", "s += v * v", "s"),
    "ReduceL1": ("0", "s += v < 0 ? -v : v", "s"),
    "ReduceL2": ("0", "s += v * v", "sqrtf(s)"),
    "ReduceLogSum": ("0", "s += v", "logf(s)"),
}
_OF_FLOATS = ("ReduceL2", "ReduceLogSum", "ReduceMean")


def reduce(emitter: Emitter, node: Node) -> bool:
    source, result = node.needed(0), node.output
    if node.op in ("GlobalAveragePool", "GlobalMaxPool"):
        axes, kind = list(range(2, len(source.shape))), "ReduceMean" if "Average" in node.op else "ReduceMax"
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
    begin, step, end = _KINDS[kind]
    count = literal(int(np.prod([shape[axis] for axis in axes])), source.dtype)
    lines = [f"const {ctype} *restrict x = {place.pointer};", f"{ctype} *restrict y = {target.pointer};"]
    if outer.extents and outer.strides[1][-1] == 1 and inner.extents:
        lines += _side_by_side(outer, inner, ctype, begin, step, end, count)
    else:
        lines += _one_by_one(outer, inner, ctype, begin, step, end, count)
    emitter.say("{\n" + "\n".join(lines) + "\n}")


def _loops(nest: Nest, prefix: str, upto: int | None = None) -> list[str]:
    extents = nest.extents if upto is None else nest.extents[:upto]
    return [f"for (int {prefix}{a} = 0; {prefix}{a} < {e}; {prefix}{a}++)" for a, e in enumerate(extents)]


def _at(nest: Nest, operand: int, prefix: str) -> str:
    return index(nest, operand).replace("i", prefix)


def _one_by_one(outer: Nest, inner: Nest, ctype: str, begin: str, step: str, end: str, count: str) -> list[str]:
    at = f"{_at(outer, 1, 'o')} + {_at(inner, 0, 'i')}"
    first = begin if begin != "first" else f"x[{_at(outer, 1, 'o')}]"
    lines = [*_loops(outer, "o"), "{"]
    last = inner.extents[-1] if inner.extents else 1
    if inner.extents and last >= 8 and ctype == "float" and inner.strides[0][-1] == 1:
        # Eight sums side by side, which the compiler may not make of one by itself.
        base = " + ".join([_at(outer, 1, "o"), *(f"i{a} * {s}" for a, s in enumerate(inner.strides[0][:-1]))])
        lines += [
            f"{ctype} t[8];",
            f"for (int l = 0; l < 8; l++) t[l] = {first};",
            f"{ctype} s = {first};",
            *_loops(inner, "i", len(inner.extents) - 1),
            "{",
            f"const {ctype} *restrict r = x + {base};",
            "int k = 0;",
            f"for (; k + 8 <= {last}; k += 8)",
            "    for (int l = 0; l < 8; l++) {",
            f"    const {ctype} v = r[k + l]; {step.replace('s ', 't[l] ', 1).replace('v, s', 'v, t[l]')};",
            "    }",
            f"for (; k < {last}; k++) {{ const {ctype} v = r[k]; {step}; }}",
            "}",
            f"for (int l = 0; l < 8; l++) {{ const {ctype} v = t[l]; {_joining(step)}; }}",
        ]
    else:
        lines += [f"{ctype} s = {first};", *_loops(inner, "i"), f"{{ const {ctype} v = x[{at}]; {step}; }}"]
    lines += [f"const {ctype} count = {count}; (void)count;", f"y[{_at(outer, 0, 'o')}] = {end};", "}"]
    return lines


def _joining(step: str) -> str:
    """How two partial results become one: squares and sizes were taken already."""
    return "s += v" if step.startswith("s +=") else step


def _side_by_side(outer: Nest, inner: Nest, ctype: str, begin: str, step: str, end: str, count: str) -> list[str]:
    width, last = outer.extents[-1], len(outer.extents) - 1
    base_y = " + ".join(["0", *(f"o{a} * {s}" for a, s in enumerate(outer.strides[0][:-1]))])
    base_x = " + ".join(["0", *(f"o{a} * {s}" for a, s in enumerate(outer.strides[1][:-1]))])
    step_y = outer.strides[0][-1]
    first = begin if begin != "first" else "a[c]"
    each = f"for (int c = 0; c < {width}; c++)"
    return [
        *_loops(outer, "o", last),
        "{",
        f"const {ctype} *restrict a = x + {base_x};",
        f"{ctype} *restrict b = y + {base_y};",
        f"const {ctype} count = {count}; (void)count;",
        f"{each} b[c * {step_y}] = {first};",
        *_loops(inner, "i"),
        f"{{ const {ctype} *restrict r = a + {_at(inner, 0, 'i')};",
        f"{each} {{ const {ctype} v = r[c]; {ctype} s = b[c * {step_y}]; {step}; b[c * {step_y}] = s; }} }}",
        f"{each} {{ const {ctype} s = b[c * {step_y}]; b[c * {step_y}] = {end}; }}",
        "}",
    ]


def softmax(emitter: Emitter, node: Node) -> bool:
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
    read, target = emitter.ordered(source), emitter.define(result)
    log = "true" if node.op == "LogSoftmax" else "false"
    emitter.say(f"softmax({read}, {target.pointer}, {before}, {last}, {after}, {log});")
    return True


def layer_normalization(emitter: Emitter, node: Node) -> bool:
    source, result = node.needed(0), node.output
    if source.dtype.name != "float32" or len(node.outputs) > 1:
        return False
    axis = int(node.get("axis", -1)) % len(source.shape)
    size = int(np.prod(source.shape[axis:]))
    scale, bias = node.needed(1), node.input(2)
    if scale.size != size or (bias is not None and bias.size != size):
        return False
    read, factor = emitter.ordered(source), emitter.ordered(scale)
    plus = emitter.ordered(bias) if bias is not None else emitter.zeros(size)
    target = emitter.define(result)
    emitter.say(
        f"layer_norm({read}, {factor}, {plus}, {target.pointer}, {source.size // size}, {size}, "
        f"{literal(node.get('epsilon', 1e-5))});"
    )
    return True


def local_response(emitter: Emitter, node: Node) -> bool:
    source, result = node.needed(0), node.output
    if source.dtype.name != "float32" or len(source.shape) != 4:
        return False
    order = channels_last(4)
    read, target = emitter.ordered(source, order), emitter.define(result, order)
    channels = source.shape[1]
    emitter.say(
        f"local_response({read}, {target.pointer}, {source.size // channels}, {channels}, {int(node.get('size', 1))}, "
        f"{literal(node.get('alpha', 1e-4))}, {literal(node.get('beta', 0.75))}, {literal(node.get('bias', 1.0))});"
    )
    return True
