"""Hold preprocessing inside a model against what is declared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.datasets.preprocessing.images import fitted, laid_out, prepare_picture
from edgedeploy.datasets.preprocessing.steps import plan
from edgedeploy.datasets.synthetic import made_up_picture
from edgedeploy.foundation.errors import EdgedeployError, UnsupportedError
from edgedeploy.inference.session import Session, open_session
from edgedeploy.optimize.embed.graph import PictureInput, normalization_of, prepend
from edgedeploy.optimize.graph.edit import opset, serialized
from edgedeploy.values.model import TensorFacts

LEVELS = 2.01
"""How far one number may be from the declared one, in levels of 255. OpenCV rounds in fixed point, and Pillow between
columns and rows, in an order of its own choice: a level more or less is found in at most every eighth number, two in
one of 400 pictures of noise. Without resizing, none is allowed."""
_EXACT_LEVELS = 0.01
_SAME = 1e-4
"""How far answers may be from those with the operators left, relative to the output's norm: what was measured on
float32 models is 1e-6."""
_ANSWERED = 3
"""Pictures that the whole model answers."""


class NumbersDifferError(Exception):
    """What is done inside a model is not what is declared."""

    def __init__(self, levels: float, allowed: float) -> None:
        super().__init__(f"the numbers differ by up to {levels:.3g} levels of 255, and {allowed:g} are allowed")


class Held(Struct, frozen=True):
    """How far what is inside is from what is declared."""

    input_difference: float
    answer_difference: float

    def same(self, plain: bytes, merged: bytes, tensor: TensorFacts, pictures: Sequence[np.ndarray]) -> bool:
        """Tell whether two models that take pictures answer the same."""
        sessions = [open_session(content, "onnx", exact=True) for content in (plain, merged)]
        for picture in pictures[:_ANSWERED]:
            first, second = (session.run({tensor.name: _batch(picture, tensor)}) for session in sessions)
            if _difference(second, first) > _SAME:
                return False
        return True


def check_pictures(request: PictureInput, samples: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Return pictures that the input is to take, uint8, (height, width, channels): samples first, then made-up ones."""
    channels = 1 if request.declared.color == "gray" else 3
    height, width = request.size
    rng = np.random.default_rng(15)
    found = [picture for picture in samples if request.source in (None, picture.shape[:2])]
    extents = (
        [request.source]
        if request.source
        else [
            (height * 2 + 1, width * 3),
            (height * 3, width * 2 + 1),
            (height, width),
            (max(height // 2, 1), width + 5),
            (height + 7, max(width // 3, 1)),
        ]
    )
    crop = request.declared.crop if request.declared.resize == "none" else None
    least = crop or (1, 1)
    found += [made_up_picture(max(h, least[0]), max(w, least[1]), channels, rng) for h, w in extents]
    if request.resizes:
        return found
    if request.declared.resize == "none" and request.declared.crop is None:
        return [made_up_picture(height, width, channels, rng)]
    declared = request.declared
    return [fitted(each, plan(each.shape[0], each.shape[1], declared, request.size), declared) for each in found]


def hold(
    source: bytes, inside: bytes, tensor: TensorFacts, request: PictureInput, pictures: Sequence[np.ndarray]
) -> Held:
    """Compare what the operators make of pictures with what is declared, and the answers to a few.

    Args:
        source: the model as it takes prepared pictures.
        inside: the model that prepares them.

    Raises:
        NumbersDifferError: they differ by more than `LEVELS`; without resizing, at all.
        UnsupportedError: the runtime refuses the operators.
    """
    try:
        preparing = open_session(_preparing(source, tensor, request), "onnx", exact=True)
        sessions = [open_session(content, "onnx", exact=True) for content in (source, inside)]
        worst = max(_levels(preparing, tensor, request, picture) for picture in pictures)
        allowed = LEVELS if request.resizes else _EXACT_LEVELS
        if not worst <= allowed:
            raise NumbersDifferError(worst, allowed)
        answered = []
        for picture in pictures[:_ANSWERED]:
            wanted = sessions[0].run({tensor.name: _batch(_prepared(picture, tensor, request), tensor)})
            found = sessions[1].run({tensor.name: _batch(picture, tensor)})
            answered.append(_difference(found, wanted))
    except EdgedeployError as error:
        raise UnsupportedError("preprocessing inside the model does not run", why=error.why or error.what) from error
    return Held(input_difference=round(worst, 3), answer_difference=float(f"{max(answered):.3g}"))


def _preparing(source: bytes, tensor: TensorFacts, request: PictureInput) -> bytes:
    """Return a model that only prepares pictures, in the operator set of `source`."""
    version = opset(ir.from_proto(onnx.load_from_string(source)))
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    made, taken = (onnx.helper.make_tensor_value_info(name, kind, tensor.shape) for name in ("prepared", tensor.name))
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", [tensor.name], ["prepared"])], "g", [taken], [made]
    )
    model = ir.from_proto(
        onnx.helper.make_model_gen_version(graph, opset_imports=[onnx.helper.make_opsetid("", version)])
    )
    prepend(model, tensor.name, request, absorbing=False)
    return serialized(model)


def _levels(session: Session, tensor: TensorFacts, request: PictureInput, picture: np.ndarray) -> float:
    """Return the largest difference to what is declared, in levels of 255."""
    found = session.run({tensor.name: _batch(picture, tensor)})[0][0].astype(np.float64)
    wanted = _prepared(picture, tensor, request).astype(np.float64)
    if found.shape != wanted.shape:
        return float("inf")
    difference = np.abs(found - wanted)
    if tensor.dtype == "uint8":
        return float(difference.max())
    # Both are rounded to the input's type: half precision has steps of up to a level.
    difference -= np.finfo(tensor.dtype).eps * np.abs(wanted)
    steps = np.abs(normalization_of(request.declared).factor)
    if request.layout.has_channels:
        steps = steps.reshape((-1, 1, 1) if request.layout.channels_first else (1, 1, -1))
    return float((difference / steps).max())


def _prepared(picture: np.ndarray, tensor: TensorFacts, request: PictureInput) -> np.ndarray:
    """Return what is declared to be made of a picture that the input takes."""
    declared = request.declared
    pixels = np.ascontiguousarray(picture[..., ::-1] if request.swaps else picture)
    if request.resizes:
        return prepare_picture(pixels, declared, tensor).values
    return laid_out(pixels, declared, tensor)


def _batch(values: np.ndarray, tensor: TensorFacts) -> np.ndarray:
    extent = tensor.shape[0]
    return np.stack([values] * (extent if isinstance(extent, int) else 1))


def _difference(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """Return the largest difference of an output: relative for real numbers, else the share of unequal elements."""
    worst = 0.0
    for first, second in zip(found, wanted, strict=True):
        if first.shape != second.shape:
            return float("inf")
        if second.dtype.kind != "f":
            worst = max(worst, float((first != second).mean()) if second.size else 0.0)
            continue
        a, b = first.astype(np.float64), second.astype(np.float64)
        error, size = np.linalg.norm(a - b), np.linalg.norm(b)
        worst = max(worst, 0.0 if error == 0 else float(error / size) if size else float("inf"))
    return worst
