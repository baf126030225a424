"""Resize and Upsample: nearest and linear, along one dimension after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgedeploy.compile.native.emit import Emitter
from edgedeploy.compile.native.graph import Node, Value
from edgedeploy.compile.native.layout import Place, memory_order

_ROUNDING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda at: np.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: np.floor(at + 0.5),
}
"""`nearest_mode`: https://onnx.ai/onnx/operators/onnx__Resize.html"""


def resize(emitter: Emitter, node: Node) -> bool:
    """Write a Resize of floats, nearest or linear along each dimension; False when it is another kind."""
    source, result = node.needed(0), node.output
    if source.dtype.name != "float32":
        return False
    mode = node.get("mode", "nearest")
    transform = node.get("coordinate_transformation_mode", "half_pixel")
    if node.op == "Upsample":
        transform = "asymmetric"
    if (
        mode not in ("nearest", "linear")
        or node.get("antialias", 0)
        or transform not in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
        or node.get("axes", None)
        or node.get("keep_aspect_ratio_policy", "stretch") != "stretch"
    ):
        return False
    scales = _scales(node)
    place, value = emitter.place(source), source
    for axis in range(len(source.shape)):
        if source.shape[axis] == result.shape[axis] and scales[axis] == 1:
            continue
        shape = (*value.shape[:axis], result.shape[axis], *value.shape[axis + 1 :])
        made = result if shape == result.shape else Value(f"{result.name}.{axis}", result.dtype, shape)
        target = emitter.define(made, memory_order(value.shape, place.strides))
        at = _coordinates(transform, scales[axis], value.shape[axis], shape[axis])
        _resize_axis(emitter, node, mode, axis, at, value.shape[axis], place, made.shape, target)
        place, value = target, made
    if value is source:
        emitter.alias(result, place)
    return True


def _scales(node: Node) -> list[float]:
    """Return how much larger each dimension becomes."""
    source, result = node.needed(0).shape, node.output.shape
    given = node.constant(1 if node.op == "Upsample" or len(node.inputs) == 2 else 2)
    if given is not None and given.size == len(source):
        return [float(each) for each in given]
    listed = node.get("scales", None)
    return [float(e) for e in listed] if listed else [b / a for a, b in zip(source, result, strict=True)]


def _coordinates(transform: str, scale: float, before: int, after: int) -> np.ndarray:
    """Return the coordinate in the source of each element, float32 [after].

    In single precision and this order, as onnxruntime does it (upsamplebase.h, GetOriginalCoordinateFunc): whether one
    lies just between two elements, or a little beyond, decides which of them is the nearest.
    """
    at, half = np.arange(after, dtype=np.float32), np.float32(0.5)
    if transform == "asymmetric":
        return at / np.float32(scale)
    if transform == "align_corners":
        return at * np.float32(before - 1) / np.float32(after - 1) if after > 1 else at * 0
    if transform == "pytorch_half_pixel" and after == 1:
        return at * 0
    return (at + half) / np.float32(scale) - half


def _resize_axis(
    emitter: Emitter,
    node: Node,
    mode: str,
    axis: int,
    at: np.ndarray,
    extent: int,
    place: Place,
    shape: tuple[int, ...],
    target: Place,
) -> None:
    """Write one dimension: tables of offsets, and of shares for linear ones, are computed here.

    Args:
        at: float32 [shape[axis]], the coordinate in the source of each element.
        extent: of the source along `axis`; its other dimensions are those of `shape`.
    """
    last, step = extent - 1, place.strides[axis]
    still = tuple(0 if dimension == axis else stride for dimension, stride in enumerate(place.strides))
    along = tuple(1 if dimension == axis else 0 for dimension in range(len(shape)))
    source = place.with_strides(still)

    def table(array: np.ndarray) -> Place:
        return Place(emitter.weight(array), 0, along)

    if mode == "nearest":
        rounding = node.get("nearest_mode", "floor" if node.op == "Upsample" else "round_prefer_floor")
        offsets = np.clip(_ROUNDING[rounding](at), 0, last).astype(np.int32) * step
        sources = [source, table(offsets.astype(np.int32))]
        emitter.loops(shape, target, sources, lambda x: str(x[0].shifted(str(x[1]))))
        return
    bounded = np.clip(at, 0, last)
    low = np.minimum(np.floor(bounded), last).astype(np.int32)
    high = np.minimum(low + 1, last)
    share = (bounded - low).astype(np.float32)
    tables = [table((low * step).astype(np.int32)), table((high * step).astype(np.int32)), table(share)]
    emitter.loops(
        shape,
        target,
        [source, *tables],
        lambda x: f"{x[0].shifted(str(x[1]))} * (1.0f - {x[3]}) + {x[0].shifted(str(x[2]))} * {x[3]}",
    )
