"""What a model could be: heads that its output shapes allow, and ways in which its pictures could be prepared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from edgedeploy.datasets.preprocessing.audio_presets import AUDIO_PRESETS
from edgedeploy.datasets.preprocessing.presets import IMAGE_PRESETS
from edgedeploy.values.data import Task
from edgedeploy.values.head import Head
from edgedeploy.values.model import Dimension, ModelFacts, TensorFacts
from edgedeploy.values.preprocessing import AudioPreprocessing

_BOX, _POINT, _NMS_COLUMNS = 4, 3, 6
_NORMALIZED: dict[str, float | int | bool | str] = {"normalized": True}


class WayOfPreparing(Struct, frozen=True, kw_only=True):
    """One preprocessing of pictures."""

    name: str
    keys: dict[str, Any]
    """Of `ImagePreprocessing`, as a file has them."""


_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
_UNIT = WayOfPreparing(name="stretched, values in [0, 1]", keys={"resize": "stretch"})
_RAW = WayOfPreparing(name="stretched, values in [0, 255]", keys={"resize": "stretch", "scale": 1.0})
_SIGNED = WayOfPreparing(name="stretched, values in [-1, 1]", keys={"resize": "stretch", "mean": [0.5], "std": [0.5]})
_STANDARD = WayOfPreparing(name="stretched, ImageNet's mean and std", keys={"resize": "stretch", **_IMAGENET})
_MIDDLE = WayOfPreparing(name="the middle, values in [0, 1]", keys={"resize": "shorter-side"})
_YOLOX = WayOfPreparing(
    name="YOLOX: letterbox at the top left, blue, green, red, values in [0, 255]",
    keys={"resize": "letterbox", "letterbox_center": False, "color": "bgr", "scale": 1.0, "antialias": False},
)

_AS_LARGE_AS_THEY_ARE = [
    WayOfPreparing(name=f"as large as they are, {what}", keys={"resize": "none", **keys})
    for what, keys in (
        ("values in [0, 1]", {}),
        ("values in [-1, 1]", {"mean": [0.5], "std": [0.5]}),
        ("ImageNet's mean and std", _IMAGENET),
        ("values in [0, 255]", {"scale": 1.0}),
    )
]


def ways_of_preparing(task: Task | None, tensor: TensorFacts) -> list[WayOfPreparing]:
    """List what is tried, the most usual first."""
    presets = {name: WayOfPreparing(name=f"preset {name}", keys={"preset": name}) for name in IMAGE_PRESETS}
    if _is_gray(tensor):
        gray = [_UNIT, _SIGNED, _RAW]
        return [WayOfPreparing(name=f"gray, {way.name}", keys={"color": "gray", **way.keys}) for way in gray]
    if tensor.dtype in ("uint8", "int8") and tensor.scale is None:
        # Bytes go in as they are: only how pictures are resized differs.
        return [_UNIT, WayOfPreparing(name="letterbox", keys={"resize": "letterbox"})]
    if task in ("detection", "instance-segmentation", "keypoints"):
        return [presets["yolo"], _UNIT, _STANDARD, presets["mobilenet-tf"], _RAW, _YOLOX]
    if task == "picture-to-picture":
        return [_UNIT, _RAW, _SIGNED, _STANDARD]
    if task == "segmentation":
        return [_STANDARD, _UNIT, _SIGNED, _RAW]
    first = ["imagenet", "mobilenet-tf", "efficientnet-lite", "clip"]
    resized = [*(presets[name] for name in first), _STANDARD, _UNIT, _RAW]
    return [*resized, *_AS_LARGE_AS_THEY_ARE] if _takes_any_size(tensor) else resized


def ways_of_preparing_sound(inputs: Sequence[TensorFacts]) -> list[WayOfPreparing]:
    """List what is tried of recordings: presets whose shape fits a model's input, and the samples themselves."""
    sound = max(inputs, key=lambda each: len(each.shape))
    presets = [WayOfPreparing(name=f"preset {name}", keys={"preset": name}) for name in AUDIO_PRESETS]
    length = sound.shape[-1] if sound.shape else None
    plain = [WayOfPreparing(name="samples at 16 kHz", keys={})]
    if isinstance(length, int):
        rate_hz = AudioPreprocessing().rate_hz
        plain = [WayOfPreparing(name=f"{length:,} samples at 16 kHz", keys={"duration_s": length / rate_hz})]
    return [*plain, *presets]


def with_swapped_colors(way: WayOfPreparing) -> WayOfPreparing | None:
    """Return the same with blue, green, red; None where it says the colors itself."""
    if "color" in way.keys or way.keys.get("preset") in AUDIO_PRESETS or "duration_s" in way.keys:
        return None
    return WayOfPreparing(name=f"{way.name}, blue, green, red", keys={**way.keys, "color": "bgr"})


def heads_that_fit(facts: ModelFacts, task: Task | None, keypoints: int = 0) -> list[Head]:
    """List heads that the shapes of a model's outputs allow, the most usual first.

    Args:
        keypoints: of an object, where the labels have them.
    """
    shapes = [output.shape for output in facts.outputs]
    if task in ("segmentation", "speech"):
        kind, rank = ("segmentation", 4) if task == "segmentation" else ("ctc", 3)
        return [Head(kind=kind)] if any(len(shape) in (rank, rank - 1) for shape in shapes) else []
    if task == "keypoints":
        return list(_poses(shapes, keypoints))
    if task in ("detection", "instance-segmentation"):
        return list(_detectors(facts, shapes))
    return []


def _poses(shapes: Sequence[tuple[Dimension, ...]], keypoints: int) -> Iterator[Head]:
    first = shapes[0]
    if len(first) == 4:
        yield Head(kind="heatmaps")
    elif len(first) == 3 and first[2] in (2, 3) and first[1] == keypoints:
        yield Head(kind="keypoints")
    elif len(first) == 3 and keypoints:
        yield Head(kind="yolov8", keypoints=keypoints)
        yield Head(kind="yolov8", keypoints=keypoints, options=_NORMALIZED)


def _detectors(facts: ModelFacts, shapes: Sequence[tuple[Dimension, ...]]) -> Iterator[Head]:
    ranks = [len(shape) for shape in shapes]
    if len(shapes) == 4 and sorted(ranks) == [1, 2, 2, 3]:
        yield from _with_postprocessing(facts, ranks)
        return
    if ranks[:2] == [3, 3] and _BOX in (shapes[0][2], shapes[1][2]) and shapes[0][1] == shapes[1][1]:
        logits, boxes = (1, 0) if shapes[0][2] == _BOX else (0, 1)
        names = (facts.outputs[logits].name, facts.outputs[boxes].name)
        yield Head(kind="detr", outputs=names, options={"scores": "sigmoid"})
        yield Head(kind="detr", outputs=names)
        return
    if not ranks or ranks[0] != 3:
        return
    if shapes[0][2] == _NMS_COLUMNS:
        yield Head(kind="yolo-nms")
        yield Head(kind="yolo-nms", options=_NORMALIZED)
    for kind in ("yolov8", "yolov5"):
        yield Head(kind=kind)
        yield Head(kind=kind, options=_NORMALIZED)
    yield Head(kind="yolox")


def _with_postprocessing(facts: ModelFacts, ranks: Sequence[int]) -> Iterator[Head]:
    """Of TensorFlow Lite's four outputs, which come in several orders: boxes, classes, scores, count."""
    names = [output.name for output in facts.outputs]
    boxes, count = names[ranks.index(3)], names[ranks.index(1)]
    pair = [name for name, rank in zip(names, ranks, strict=True) if rank == 2]
    for classes, scores in (pair, pair[::-1]):
        yield Head(kind="tflite-ssd", outputs=(boxes, classes, scores, count))


def _is_gray(tensor: TensorFacts) -> bool:
    shape = tensor.shape
    return len(shape) == 3 or (len(shape) == 4 and 1 in (shape[1], shape[3]) and 3 not in (shape[1], shape[3]))


def _takes_any_size(tensor: TensorFacts) -> bool:
    return len(tensor.shape) == 4 and sum(not isinstance(extent, int) for extent in tensor.shape[1:]) == 2
