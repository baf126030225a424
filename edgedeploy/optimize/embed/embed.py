"""Put the preprocessing of pictures into an ONNX model, and hold the result against what is declared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.datasets.preprocessing.images import prepare_picture
from edgedeploy.datasets.preprocessing.layout import PictureLayout, picture_layout
from edgedeploy.datasets.preprocessing.presets import resolve
from edgedeploy.datasets.preprocessing.steps import plan
from edgedeploy.foundation.errors import DatasetError, UnsupportedError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.sanitize import first_line
from edgedeploy.model.embedded import METADATA_KEY, record
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.load import load_onnx
from edgedeploy.optimize.base import Context, PassSkipped
from edgedeploy.optimize.embed.absorb import Absorbed
from edgedeploy.optimize.embed.check import Held, NumbersDifferError, check_pictures, hold
from edgedeploy.optimize.embed.graph import PictureInput, prepend
from edgedeploy.optimize.graph.edit import copy_of, opset, serialized, validation_error
from edgedeploy.optimize.simplify.upgrade_opset import UpgradeOpset
from edgedeploy.values.model import ModelFacts, TensorFacts
from edgedeploy.values.preprocessing import EmbeddedPreprocessing, ImagePreprocessing

PictureExtent = tuple[int, int] | Literal["any", "model"]
"""Which pictures the model is to take: of one height and width, of any, or of those that it computes with, resized by
the application."""

_OPSET, _ANTIALIAS_OPSET = 13, 18
"""Axes of Squeeze are an operand since 13; Resize can smooth since 18: https://onnx.ai/onnx/operators/onnx__Resize.html"""
_IR_VERSION = 4
_WITHOUT_ANTIALIAS = ("bilinear", "bicubic")
_WITH_ANTIALIAS = ("bilinear", "bicubic")


class EmbeddedModel(Struct, frozen=True, kw_only=True):
    """A model that takes pictures."""

    content: bytes
    input: str
    """The name of the input that takes them."""
    preprocessing: EmbeddedPreprocessing


def embed_preprocessing(
    path: Path,
    table: Mapping[str, Any],
    *,
    pictures: PictureExtent = "any",
    picture_color: Literal["rgb", "bgr"] = "rgb",
    samples: Iterable[np.ndarray] = (),
    progress: Progress = SILENT,
) -> EmbeddedModel:
    """Put the declared preprocessing into the model in a file.

    What goes in is compared with what is declared, on made-up pictures of several sizes and on `samples`. Resizing
    stays outside where operators of ONNX do not do it as declared: the result says so.

    Args:
        path: an `.onnx` file.
        table: the keys of `ImagePreprocessing`, as a file has them.
        pictures: which the model is to take.
        picture_color: the order of colors in them.
        samples: pictures, uint8, shape (height, width, channels), in that order.

    Raises:
        InvalidFileError: the file is missing or no model.
        DatasetError: the preprocessing does not fit the model, or leaves the size of its input open.
        UnsupportedError: the model is no ONNX one, takes no pictures, or does not do inside what is declared.
        UnknownNameError: there is no such preset.
    """
    facts = inspect_model(path)
    tensor = _picture_input(path, facts)
    declared = resolve(table, tensor)
    layout = picture_layout(tensor, declared)
    size = _size(declared, layout, tensor)
    source = pictures if isinstance(pictures, tuple) else None
    given = list(samples)
    outside = _outside_reason(declared, pictures)
    found = None
    if not outside:
        resizes = declared.resize != "none" or declared.crop is not None
        inside = PictureInput(
            declared=declared, layout=layout, picture_color=picture_color, resizes=resizes, source=source, size=size
        )
        found, outside = _put(_graph(path), tensor, inside, given, progress)
    if found is None and outside:
        progress.note(f"resizing stays outside of the model: {outside}")
        prepared = PictureInput(
            declared=declared, layout=layout, picture_color=picture_color, resizes=False, source=None, size=size
        )
        found, refused = _put(_graph(path), tensor, prepared, given, progress)
        if found is None:
            raise UnsupportedError(f"preprocessing cannot be put into {path}", why=refused)
    assert found is not None
    embedded = EmbeddedPreprocessing(
        declared=declared,
        picture_color=picture_color,
        resizes=found.resizes,
        height=size[0],
        width=size[1],
        dtype=tensor.dtype,
        shape=tensor.shape,
        absorbed=found.absorbed,
        outside=outside,
        input_difference=found.held.input_difference,
        answer_difference=found.held.answer_difference,
    )
    found.graph.metadata_props[METADATA_KEY] = record({tensor.name: embedded})
    return EmbeddedModel(content=serialized(found.graph), input=tensor.name, preprocessing=embedded)


class _Put(Struct, frozen=True, kw_only=True):
    """A graph with its preprocessing inside."""

    graph: ir.Model
    resizes: bool
    absorbed: tuple[Absorbed, ...]
    held: Held


def _put(
    graph: ir.Model,
    tensor: TensorFacts,
    request: PictureInput,
    samples: Sequence[np.ndarray],
    progress: Progress,
) -> tuple[_Put | None, str]:
    """Put what is asked into a graph and hold it against what is declared; or say why it cannot be.

    Raises:
        UnsupportedError: the result does not run.
    """
    smooths = request.resizes and request.declared.resize != "none" and request.declared.antialias
    graph, refused = _upgraded(graph, _ANTIALIAS_OPSET if smooths else _OPSET)
    if refused:
        return None, refused
    # Before, every initializer has to be an input too: https://github.com/onnx/onnx/blob/main/docs/IR.md
    graph.ir_version = max(graph.ir_version or 0, _IR_VERSION)
    result, checked = copy_of(graph), check_pictures(request, samples)
    prepend(result, tensor.name, request, absorbing=False)
    content = serialized(result)
    try:
        held = hold(serialized(graph), content, tensor, request, checked)
    except NumbersDifferError as error:
        return None, f"operators of ONNX do not give the declared numbers: {error}"
    merged = copy_of(graph)
    absorbed = prepend(merged, tensor.name, request, absorbing=True)
    if absorbed and not held.same(content, serialized(merged), tensor, checked):
        # Whole numbers in a model may turn over where sums come in another order.
        progress.note("scale and mean stay operators of their own: with other weights the answers are others")
        merged, absorbed = result, ()
    problem = validation_error(serialized(merged))
    if problem and validation_error(serialized(graph)) is None:
        raise UnsupportedError("preprocessing inside the model does not run", why=problem)
    return _Put(graph=merged, resizes=request.resizes, absorbed=absorbed, held=held), ""


def _picture_input(path: Path, facts: ModelFacts) -> TensorFacts:
    """Return the one input that takes pictures."""
    if facts.format != "onnx":
        raise UnsupportedError(
            f"preprocessing cannot be put into {path}",
            why="it is a TensorFlow Lite model, and what goes in are operators of ONNX",
            hint="give the ONNX model, or compile without --embed-preprocessing",
        )
    if embedded := [tensor.name for tensor in facts.inputs if tensor.preprocessing is not None]:
        raise UnsupportedError(f"the input {embedded[0]!r} of {path} takes pictures already")
    found = [tensor for tensor in facts.inputs if len(tensor.shape) in (3, 4)]
    if len(found) != 1:
        raise UnsupportedError(
            f"preprocessing cannot be put into {path}",
            why=f"{len(found)} of its {len(facts.inputs)} inputs have the axes of a picture",
            hint="compile without --embed-preprocessing",
        )
    if found[0].dtype not in ("float32", "float16", "uint8"):
        raise UnsupportedError(
            f"preprocessing cannot be put into {path}",
            why=f"its input takes {found[0].dtype}; float32, float16 and uint8 can be computed from pictures",
        )
    return found[0]


def _size(declared: ImagePreprocessing, layout: PictureLayout, tensor: TensorFacts) -> tuple[int, int]:
    """Return height and width of what the model takes.

    Raises:
        DatasetError: they depend on the picture, or are not those of the input.
    """
    if declared.resize == "none" and declared.crop is None and layout.height and layout.width:
        return layout.height, layout.width
    sizes = {plan(*source, declared, (layout.height, layout.width)).size for source in ((480, 640), (641, 483))}
    if len(sizes) > 1:
        raise DatasetError(
            "the size of what the model takes depends on the picture",
            why=f"resize = {declared.resize!r}, without a crop",
            hint="set crop = [HEIGHT, WIDTH] in [preprocessing]",
        )
    (size,) = sizes
    # Says what to change where they do not fit.
    channels = 1 if declared.color == "gray" else 3
    prepare_picture(np.zeros((*size, channels), np.uint8), declared, tensor)
    return size


def _outside_reason(declared: ImagePreprocessing, pictures: PictureExtent) -> str:
    """Say why resizing stays outside; empty where it can go in."""
    if pictures == "model":
        return "the application resizes"
    if declared.resize != "none":
        known = _WITH_ANTIALIAS if declared.antialias else _WITHOUT_ANTIALIAS
        if declared.resampling not in known:
            how = "with" if declared.antialias else "without"
            return f"Resize of ONNX has no {declared.resampling} {how} antialias that gives the same pixels"
    if declared.resize == "letterbox" and len(set(declared.letterbox_value)) > 1:
        return "Pad of ONNX fills bars with one number, and letterbox_value has several"
    return ""


def _graph(path: Path) -> ir.Model:
    try:
        return ir.from_proto(load_onnx(path))
    except (UnsupportedError, DatasetError):
        raise
    except Exception as error:
        # onnx_ir wraps whatever it stumbles over in classes of its own and of the standard library.
        raise UnsupportedError(f"{path} cannot be taken apart", why=first_line(error)) from error


def _upgraded(graph: ir.Model, version: int) -> tuple[ir.Model, str]:
    """Return the model in an operator set that is new enough, or as it is, and why it cannot have one."""
    before, upgrade = opset(graph), UpgradeOpset(to=version)
    if before >= version:
        return graph, ""
    context = Context()
    reason = upgrade.requires(graph, context)
    if reason is None:
        try:
            return upgrade.call(copy_of(graph), context)[0], ""
        except PassSkipped as error:
            reason = error.reason
    return graph, f"it needs operator set {version}, the model has {before}, and {reason}"
