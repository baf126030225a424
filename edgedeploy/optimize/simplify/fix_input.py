"""Inputs and dimensions that are always the same on the device become constants."""

from __future__ import annotations

import difflib
import json
import math
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from msgspec import field

from edgedeploy.inference.frozen_inputs import METADATA_KEY, agrees, disagreement, read, written
from edgedeploy.inference.session import Feed
from edgedeploy.optimize.base import Context, Facts, Pass, PassSkipped, PostconditionError
from edgedeploy.optimize.graph.builder import GraphBuilder
from edgedeploy.optimize.graph.edit import all_nodes

Scalar = int | float | bool

_DIMENSIONS_KEY = "edgedeploy.bound_dimensions"
"""Of the model's metadata: names of dimensions that were bound, and their extents, as JSON."""

_MOST_FILLED = 1 << 16
"""Elements that a single number is repeated to."""


class FixInput(Pass, frozen=True):
    """Bind inputs, such as a sample rate, to constants and take them away; give dynamic dimensions their extent.

    What depended on them can then be computed beforehand: `fold-constants` behind this pass removes the `If` branches
    that are never taken. The bound values stay in the model's metadata. Data that was made for the model as it came
    can still be fed: its arrays for bound inputs are left out where they hold the bound value, and refused where not.
    """

    essential: ClassVar[bool] = True
    # A value that is known lets the runtime pack it for kernels that sum in another order.
    tolerance: ClassVar[float | None] = 1e-4
    changes_interface: ClassVar[bool] = True

    inputs: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    """Name and value of each input to bind. A single number fills an input of any known shape."""
    dimensions: dict[str, int] = field(default_factory=dict)
    """Extents: of a dimension by its name in the model (`batch`), or by input and axis (`input:0`)."""

    def __post_init__(self) -> None:
        for name, extent in self.dimensions.items():
            if extent < 1:
                raise ValueError(f"dimensions: {name} must be at least 1")

    def requires(self, model: ir.Model, context: Context) -> str | None:
        if not (self.inputs or self.dimensions):
            return "its settings name no input and no dimension to bind"
        inputs = {value.name or "": value for value in model.graph.inputs}
        known = read(model.metadata_props)
        for name in self.inputs:
            if name not in inputs and name not in known:
                return f"the model has no input {name!r}{_instead(name, inputs)}"
        symbols = {str(extent) for value in inputs.values() for extent in value.shape or () if _symbol(extent)}
        for name in self.dimensions:
            if name in symbols:
                continue
            source, axis = _split(name)
            if axis is None:
                # Bound before, its name has gone from the inputs.
                if str(name) not in _bound_dimensions(model):
                    return f"no input has a dimension {name!r}{_instead(name, symbols)}"
            elif source not in inputs:
                return f"the model has no input {source!r}{_instead(source, inputs)}"
            elif (shape := inputs[source].shape) is None or not -len(shape) <= axis < len(shape):
                return f"input {source!r} has no axis {axis} that could be told"
        return None

    def call(self, model: ir.Model, context: Context) -> tuple[ir.Model, Facts]:
        extents = sum(self._bind_dimension(model, name, extent) for name, extent in self.dimensions.items())
        inputs = {value.name: value for value in model.graph.inputs}
        bound = {name: _array(inputs[name], value) for name, value in self.inputs.items() if name in inputs}
        _check_against_data(bound, context)
        builder = GraphBuilder(model)
        for name, array in bound.items():
            _replace(model.graph, inputs[name], array, builder)
        before = read(model.metadata_props)
        for name in set(self.inputs) - set(bound):
            if before[name] != self.inputs[name]:
                raise PassSkipped(f"input {name!r} was bound before, to {before[name]}")
        if bound:
            known = {name: np.asarray(value) for name, value in before.items()}
            model.metadata_props[METADATA_KEY] = written(known | bound)
        return model, {"inputs_bound": len(bound), "extents_bound": extents}

    def ensures(self, before: ir.Model, after: ir.Model, facts: Facts) -> None:
        kept = [value.name for value in before.graph.inputs if value.name not in self.inputs]
        if [value.name for value in after.graph.inputs] != kept:
            raise PostconditionError("another input went than those that were bound")
        outputs = [[(value.name, value.dtype) for value in model.graph.outputs] for model in (before, after)]
        if outputs[0] != outputs[1]:
            raise PostconditionError("the outputs changed")

    def _bind_dimension(self, model: ir.Model, name: str, extent: int) -> int:
        """Write the extent wherever the dimension stands; how often it did."""
        values = [*model.graph.inputs, *model.graph.outputs]
        values += [value for node in all_nodes(model) for value in node.outputs if not value.is_graph_output()]
        by_name = {value.name: value for value in model.graph.inputs}
        if any(str(extent) == name for value in by_name.values() for extent in value.shape or () if _symbol(extent)):
            bound = sum(_bind(value, axis, extent) for value in values for axis in _axes(value, name))
            model.metadata_props[_DIMENSIONS_KEY] = json.dumps(
                dict(sorted((_bound_dimensions(model) | {name: extent}).items()))
            )
            return bound
        source, axis = _split(name)
        if axis is None or source not in by_name:
            if _bound_dimensions(model).get(name) != extent:
                raise PassSkipped(f"dimension {name!r} was bound before, to {_bound_dimensions(model).get(name)}")
            return 0
        value = by_name[source]
        assert value.shape is not None
        found = value.shape[axis]
        # -1 is how some exporters write «dynamic».
        if isinstance(found, int) and found >= 0:
            if found != extent:
                raise PassSkipped(f"axis {axis} of input {source!r} has the extent {found} already")
            return 0
        return int(_bind(value, axis % len(value.shape), extent))


def _bound_dimensions(model: ir.Model) -> dict[str, int]:
    try:
        bound = json.loads(model.metadata_props.get(_DIMENSIONS_KEY, "{}"))
    except ValueError:
        return {}
    return bound if isinstance(bound, dict) else {}


def _symbol(extent: object) -> bool:
    return isinstance(extent, ir.SymbolicDim) and extent.value is not None


def _split(name: str) -> tuple[str, int | None]:
    """`"input:0"` → `("input", 0)`; without an axis the whole name and None. Input names may have colons in them."""
    source, colon, axis = name.rpartition(":")
    try:
        return (source, int(axis)) if colon else (name, None)
    except ValueError:
        return name, None


def _axes(value: ir.Value, name: str) -> list[int]:
    return [axis for axis, extent in enumerate(value.shape or ()) if _symbol(extent) and str(extent) == name]


def _bind(value: ir.Value, axis: int, extent: int) -> bool:
    assert value.shape is not None
    extents = list(value.shape)
    extents[axis] = extent
    value.shape = ir.Shape(extents)
    return True


def _array(value: ir.Value, wanted: Scalar | list[Scalar]) -> np.ndarray:
    """What the input is bound to, in its type and shape."""
    if value.dtype is None:
        raise PassSkipped(f"input {value.name!r} has no element type")
    if value.dtype == ir.DataType.STRING:
        raise PassSkipped(f"input {value.name!r} is text, and this pass binds numbers")
    try:
        given = np.asarray(wanted)
        array = given.astype(value.dtype.numpy())
    except (ValueError, TypeError, OverflowError) as error:
        raise PassSkipped(f"{wanted} is nothing that input {value.name!r} ({value.dtype}) can hold") from error
    # 0.1 is no float32 exactly, and meant is the nearest; half an integer, or a number out of range, is a mistake.
    if not (np.array_equal(array, given) or (array.dtype.kind == "f" and np.allclose(array, given, rtol=1e-2, atol=0))):
        raise PassSkipped(f"{wanted} is nothing that input {value.name!r} ({value.dtype}) can hold")
    if value.shape is None:
        return array
    extents = [extent if isinstance(extent, int) and extent >= 0 else None for extent in value.shape]
    if array.ndim == 0 and extents:
        known = [extent for extent in extents if extent is not None]
        if len(known) < len(extents):
            raise PassSkipped(
                f"input {value.name!r} has dynamic dimensions: bind these too, or give all of its elements"
            )
        if math.prod(known) > _MOST_FILLED:
            raise PassSkipped(
                f"input {value.name!r} has {math.prod(known):,} elements: a constant that would be in the file"
            )
        return np.full(known, array)
    if array.ndim != len(extents) or any(e not in (None, a) for e, a in zip(extents, array.shape, strict=True)):
        raise PassSkipped(f"input {value.name!r} has the shape {value.shape}, and the value {array.shape}")
    return array


def _check_against_data(bound: dict[str, np.ndarray], context: Context) -> None:
    """Refuse data that the bound model would answer wrongly.

    Raises:
        DatasetError: a probe or a calibration sample has another value. (Evaluation data is checked as it is run.)
    """
    if not bound:
        return
    for feed in context.probes:
        _check_feed(bound, feed)
    if context.calibration is not None:
        for number, sample in enumerate(context.calibration.samples(), start=1):
            _check_feed(bound, sample.feed)
            context.progress.advance(number, context.calibration.count, "samples")


def _check_feed(bound: dict[str, np.ndarray], feed: Feed) -> None:
    for name, array in bound.items():
        if name in feed and not agrees(feed[name], array):
            raise disagreement(name, feed[name], array.tolist())


def _replace(graph: ir.Graph, value: ir.Value, array: np.ndarray, builder: GraphBuilder) -> None:
    """Let a weight take the input's place. It has a default in the file where it is an initializer too."""
    graph.inputs.remove(value)
    if value.is_initializer():
        del graph.initializers[value.name or ""]
    builder.replace_by_initializer(value, array)


def _instead(name: str, names: object) -> str:
    """`"; it has 'sr' and 'x'"`, the closest alone when there is one."""
    known = sorted(str(name) for name in names) if isinstance(names, dict | set) else []
    close = difflib.get_close_matches(name, known, n=1)
    shown = close or known[:6]
    return f"; there is {' and '.join(repr(one) for one in shown)}" if shown else ""
