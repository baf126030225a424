"""The operators that prepare a picture inside a graph."""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx_ir as ir
from msgspec import Struct, structs

from edgedeploy.datasets.preprocessing.layout import PictureLayout
from edgedeploy.datasets.preprocessing.steps import plan
from edgedeploy.optimize.embed.absorb import Absorbed, Normalization, absorb, absorbable
from edgedeploy.optimize.embed.sizes import GraphSizes, SizeBuilder, constant_sizes
from edgedeploy.optimize.graph.builder import Attributes, GraphBuilder
from edgedeploy.optimize.graph.edit import integers_attribute, is_operator, only_consumer, remove_if_unused
from edgedeploy.values.preprocessing import ImagePreprocessing

_NAME = "picture"
_BYTES = ir.DataType.UINT8


class PictureInput(Struct, frozen=True, kw_only=True, eq=False):
    """What takes the place of a model's input."""

    declared: ImagePreprocessing
    layout: PictureLayout
    """Of the input as it was."""
    picture_color: Literal["rgb", "bgr"] = "rgb"
    """The order of colors in pictures."""
    resizes: bool
    source: tuple[int, int] | None
    """Height and width of the pictures; None: any."""
    size: tuple[int, int]
    """Height and width of what the model takes."""

    @property
    def swaps(self) -> bool:
        """Whether the order of colors is to be reversed."""
        return self.declared.color not in ("gray", self.picture_color)


def prepend(model: ir.Model, name: str, request: PictureInput, *, absorbing: bool) -> tuple[Absorbed, ...]:
    """Let an input of the model take pictures, and prepare them by new operators; return what weights do instead.

    The input keeps its name.
    """
    builder = GraphBuilder(model, at_head=True)
    # Before IR version 4 weights are among the inputs too.
    index = next(place for place, value in enumerate(model.graph.inputs) if value.name == name)
    old = model.graph.inputs[index]
    kind = old.dtype
    assert kind is not None and old.shape is not None
    old.name = builder.names.new(f"{name}:prepared")
    picture = ir.Value(name=name, shape=ir.Shape(_picture_shape(old.shape[0], request)), type=ir.TensorType(_BYTES))
    target, request = _behind_transpose(old, request)
    normalization = normalization_of(request.declared, swapped=request.swaps)
    absorbed = absorbable(target, normalization) if absorbing and kind == ir.DataType.FLOAT else ()
    if absorbed:
        absorb(builder, target, normalization, absorbed)
    prepared = _Pipe(builder, picture, request).prepared(normalization, absorbed, kind)
    ir.convenience.replace_all_uses_with(target, prepared, replace_graph_outputs=True)
    if (producer := target.producer()) is not None:
        remove_if_unused(producer)
    model.graph.inputs[index] = picture
    return absorbed


def _behind_transpose(value: ir.Value, request: PictureInput) -> tuple[ir.Value, PictureInput]:
    """Return the value that the picture is prepared for: what a model with channels last makes of its input first, as
    exporters of TensorFlow models write it, where it only brings the channels to the front."""
    node = only_consumer(value)
    if (
        node is None
        or not is_operator(node, "Transpose")
        or integers_attribute(node, "perm") != (0, 3, 1, 2)
        or request.layout.channels_first
        or node.outputs[0].is_graph_output()
    ):
        return value, request
    layout = structs.replace(request.layout, channels_first=True)
    return node.outputs[0], structs.replace(request, layout=layout)


def normalization_of(declared: ImagePreprocessing, *, swapped: bool = False) -> Normalization:
    """Return what is subtracted from levels and what they are multiplied with, for each channel."""
    channels = 1 if declared.color == "gray" else 3
    mean, std = (np.broadcast_to(np.asarray(each, np.float64), (channels,)) for each in (declared.mean, declared.std))
    return Normalization(mean / declared.scale, declared.scale / std, swapped)


def _picture_shape(batch: int | ir.SymbolicDim, request: PictureInput) -> list[int | str | ir.SymbolicDim | None]:
    channels = 1 if request.declared.color == "gray" else 3
    if not request.resizes:
        return [batch, *request.size, channels]
    return [batch, *(request.source or ("picture_height", "picture_width")), channels]


class _Pipe:
    """Adds one operator after the other; `self._value` is what the last one gives."""

    def __init__(self, builder: GraphBuilder, picture: ir.Value, request: PictureInput) -> None:
        self._builder = builder
        self._picture = picture
        self._value = picture
        self._declared = request.declared
        self._layout = request.layout
        self._request = request
        self._channels_first = False
        self._kind = _BYTES

    def prepared(self, normalization: Normalization, absorbed: tuple[Absorbed, ...], kind: ir.DataType) -> ir.Value:
        if self._request.resizes:
            self._resized()
        if self._layout.channels_first != self._channels_first:
            self._turn(self._layout.channels_first)
        if kind != _BYTES:
            self._as(ir.DataType.FLOAT)
            self._normalized(normalization, absorbed)
        elif normalization.swapped:
            self._swap()
        if not self._layout.has_channels:
            self._then("Squeeze", self._whole(1))
        self._as(kind)
        return self._value

    def _resized(self) -> None:
        """Resize, pad and crop; the result is of bytes where that gives bytes, else of whole numbers in float32."""
        sizes = self._sizes()
        self._turn(channels_first=True)
        if sizes.resized is not None:
            self._resize(sizes.resized)
        if sizes.before is not None and sizes.after is not None:
            nothing = self._whole(0, 0)
            pads = self._op("Concat", nothing, sizes.before, nothing, sizes.after, attributes={"axis": 0})
            bar = np.array(self._declared.letterbox_value[0], np.uint8 if self._kind == _BYTES else np.float32)
            self._then("Pad", pads, self._builder.initializer(f"{_NAME}:bar", bar))
        if sizes.corner is not None and sizes.kept is not None:
            self._then("Slice", sizes.corner, sizes.kept, self._whole(2, 3))

    def _sizes(self) -> GraphSizes:
        request = self._request
        if request.source is not None:
            steps = plan(*request.source, request.declared, request.size)
            return constant_sizes(self._builder, steps, request.source)
        return SizeBuilder(self._builder, self._picture).sizes(request.declared, request.declared.size or request.size)

    def _resize(self, size: ir.Value) -> None:
        batch = self._op("Slice", self._op("Shape", self._picture), self._whole(0), self._whole(1))
        channels = 1 if self._declared.color == "gray" else 3
        sizes = self._op("Concat", batch, self._whole(channels), size, attributes={"axis": 0})
        cubic = self._declared.resampling == "bicubic"
        attributes: dict[str, int | float | str] = {"mode": "cubic" if cubic else "linear"}
        if self._declared.antialias:
            # Pillow's: the cubic with a = -0.5, and the weights of what is outside go to what is inside.
            attributes |= {"antialias": 1, "exclude_outside": 1} | ({"cubic_coeff_a": -0.5} if cubic else {})
        else:
            attributes |= {"cubic_coeff_a": -0.75} if cubic else {}
            self._as(ir.DataType.FLOAT)
        self._value = self._builder.op(
            "Resize", [self._value, None, None, sizes], f"{_NAME}:resize", attributes=attributes
        )
        if not self._declared.antialias:
            self._then("Round")
            limits = (self._builder.initializer(f"{_NAME}:limit", np.array(each, np.float32)) for each in (0, 255))
            self._then("Clip", *limits)

    def _normalized(self, normalization: Normalization, absorbed: tuple[Absorbed, ...]) -> None:
        shift, factor = normalization.shift, normalization.factor
        if normalization.swapped:
            if "color" in absorbed:
                shift, factor = shift[::-1], factor[::-1]
            else:
                self._swap()
        if shift.any() and "mean" not in absorbed:
            self._then("Sub", self._per_channel(shift))
        if (factor != 1).any() and "scale" not in absorbed:
            self._then("Mul", self._per_channel(factor))

    def _swap(self) -> None:
        self._then("Gather", self._whole(2, 1, 0), attributes={"axis": 1 if self._channels_first else 3})

    def _per_channel(self, values: np.ndarray) -> ir.Value:
        constants = values.astype(np.float32)
        if (values == values[0]).all():
            constants = constants[:1]
        else:
            constants = constants.reshape((1, -1, 1, 1) if self._channels_first else (1, 1, 1, -1))
        return self._builder.initializer(f"{_NAME}:constant", constants)

    def _turn(self, channels_first: bool) -> None:
        self._then("Transpose", attributes={"perm": (0, 3, 1, 2) if channels_first else (0, 2, 3, 1)})
        self._channels_first = channels_first

    def _as(self, kind: ir.DataType) -> None:
        if self._kind != kind:
            self._then("Cast", attributes={"to": int(kind)})
            self._kind = kind

    def _whole(self, *values: int) -> ir.Value:
        return self._builder.initializer(f"{_NAME}:number", np.array(values, np.int64))

    def _then(self, operator: str, *operands: ir.Value, attributes: Attributes | None = None) -> None:
        self._value = self._op(operator, self._value, *operands, attributes=attributes)

    def _op(self, operator: str, *inputs: ir.Value, attributes: Attributes | None = None) -> ir.Value:
        return self._builder.op(operator, inputs, f"{_NAME}:{operator.lower()}", attributes=attributes)
