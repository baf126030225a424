"""What well-known models were trained with, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from edgedeploy.datasets.preprocessing.layout import picture_size
from edgedeploy.foundation.errors import DatasetError, UnknownNameError
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import EmbeddedPreprocessing, ImagePreprocessing


class ImagePreset(Struct, frozen=True, kw_only=True):
    """The preprocessing of a family of models."""

    source: str
    """Where its code and constants are from."""
    keys: dict[str, Any]
    """Of `ImagePreprocessing`, but for `size` and `crop`."""
    crop_ratio: float | None = None
    """The model's input is the middle of a picture that is larger by 1 / ratio; None: nothing is cut off."""
    usual_size: tuple[int, int] = (224, 224)
    """Height and width of the input, for models that leave it open."""


_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_RESIZED, _CROPPED = 256, 224

IMAGE_PRESETS: dict[str, ImagePreset] = {
    "imagenet": ImagePreset(
        source="torchvision.transforms._presets.ImageClassification with its defaults, on a PIL image: "
        "https://github.com/pytorch/vision/blob/main/torchvision/transforms/_presets.py",
        keys={"resize": "shorter-side", "scale": 1 / 255, "mean": _IMAGENET_MEAN, "std": _IMAGENET_STD},
        crop_ratio=_CROPPED / _RESIZED,
    ),
    "yolo": ImagePreset(
        source="ultralytics.data.augment.LetterBox and ultralytics.engine.predictor.preprocess: "
        "https://docs.ultralytics.com/reference/data/augment/",
        keys={"resize": "letterbox", "antialias": False, "scale": 1 / 255},
        usual_size=(640, 640),
    ),
    "clip": ImagePreset(
        source="_transform in https://github.com/openai/CLIP/blob/main/clip/clip.py",
        keys={
            "resize": "shorter-side",
            "resampling": "bicubic",
            "scale": 1 / 255,
            "mean": (0.48145466, 0.4578275, 0.40821073),
            "std": (0.26862954, 0.26130258, 0.27577711),
        },
        crop_ratio=1.0,
    ),
    "efficientnet-lite": ImagePreset(
        source="the preprocessing of EfficientNet-Lite4 in the ONNX model zoo: https://github.com/onnx/models/tree/main/"
        "validated/vision/classification/efficientnet-lite4",
        keys={"resize": "shorter-side", "antialias": False, "scale": 1.0, "mean": (127.0,), "std": (128.0,)},
        crop_ratio=0.875,
    ),
    "mobilenet-tf": ImagePreset(
        source="keras.applications.mobilenet_v2.preprocess_input (x / 127.5 - 1) on what "
        "keras.utils.image_dataset_from_directory reads (bilinear, stretched): "
        "https://keras.io/api/applications/mobilenet/",
        keys={"resize": "stretch", "antialias": False, "scale": 1 / 127.5, "mean": (1.0,)},
    ),
}


def preset_names() -> tuple[str, ...]:
    """List the presets for pictures."""
    return tuple(IMAGE_PRESETS)


def resolve(table: Mapping[str, Any], tensor: TensorFacts | None = None) -> ImagePreprocessing:
    """Return the preprocessing that a table declares: the keys of its preset, changed by its own.

    Args:
        table: the keys of `ImagePreprocessing`, as a file has them.
        tensor: the model's input; a preset takes its size from it (`imagenet` at 224: 256 resized, 224 kept).

    Raises:
        UnknownNameError: there is no preset of that name.
        DatasetError: a key is unknown, its value is not what it can have, or the model has another preprocessing
            inside.
    """
    if tensor is not None and tensor.preprocessing is not None:
        return _inside(table, tensor.name, tensor.preprocessing)
    name = table.get("preset", "")
    keys: dict[str, Any] = {}
    if name:
        keys = _keys_of(_find(str(name)), _declared(table), tensor)
    # A crop or size of the preset's own goes with its way of resizing.
    if "resize" in table or "size" in table:
        keys = {key: value for key, value in keys.items() if key not in ("size", "crop")}
    return _declared({**keys, **table})


def _inside(table: Mapping[str, Any], name: str, embedded: EmbeddedPreprocessing) -> ImagePreprocessing:
    """Return what is inside a model, which a table may repeat and not contradict."""
    inside, size = embedded.declared, (embedded.height, embedded.width)
    if table:
        channels = 1 if inside.color == "gray" else 3
        shape = (1, *size, channels) if inside.layout == "nhwc" else (1, channels, *size)
        before = TensorFacts(name=name, dtype="float32", shape=shape)
        said = resolve({**table, "layout": inside.layout or "nchw"}, before)
        differing = [
            key
            for key in ImagePreprocessing.__struct_fields__
            if key not in ("preset", "layout") and _value(said, key, size) != _value(inside, key, size)
        ]
        if differing:
            key = differing[0]
            raise DatasetError(
                f"[preprocessing] of the data is not the one inside the model: {key} = {getattr(said, key)!r}",
                why=f"the model was compiled with {key} = {getattr(inside, key)!r}",
                hint="correct the data's table, or compile the model again with that",
            )
    return inside


def _value(declared: ImagePreprocessing, key: str, size: tuple[int, int]) -> Any:
    value = getattr(declared, key)
    return size if key == "size" and value is None and declared.resize != "none" else value


def _find(name: str) -> ImagePreset:
    preset = IMAGE_PRESETS.get(name)
    if preset is None:
        known = list(IMAGE_PRESETS)
        raise UnknownNameError(
            f"there is no preset {name!r} for pictures",
            why=f"known: {', '.join(known)}",
            hint=did_you_mean(name, known, "choose one of them, or write its keys yourself"),
        )
    return preset


def _keys_of(preset: ImagePreset, declared: ImagePreprocessing, tensor: TensorFacts | None) -> dict[str, Any]:
    found = picture_size(tensor, declared) if tensor is not None else (None, None)
    height, width = (extent or usual for extent, usual in zip(found, preset.usual_size, strict=True))
    if preset.crop_ratio is None:
        return {**preset.keys, "size": (height, width)}
    kept = declared.crop or (height, width)
    shorter = round(max(kept) / preset.crop_ratio)  # so that every picture has all that is kept
    return {**preset.keys, "size": (shorter, shorter), "crop": kept}


def _declared(table: Mapping[str, Any]) -> ImagePreprocessing:
    try:
        found = msgspec.convert(dict(table), ImagePreprocessing, strict=True)
    except msgspec.ValidationError as error:
        raise DatasetError(
            "the table [preprocessing] is not one for pictures",
            why=str(error),
            hint=f"its keys: {', '.join(ImagePreprocessing.__struct_fields__)}",
        ) from error
    _check(found)
    return found


def _check(declared: ImagePreprocessing) -> None:
    """Refuse values that have the right type and no meaning.

    Raises:
        DatasetError: which key, and why.
    """
    channels = 1 if declared.color == "gray" else 3
    for key in ("mean", "std", "letterbox_value"):
        if len(getattr(declared, key)) not in (1, channels):
            raise DatasetError(
                f"the key {key} in [preprocessing] has {len(getattr(declared, key))} numbers",
                why=f"color = {declared.color!r} has {channels} channels",
                hint=f"give one number for all channels, or {channels}",
            )
    wrong = [
        *(["std: a number is 0"] if 0.0 in declared.std else []),
        *(["scale: it is 0"] if declared.scale == 0.0 else []),
        *(["letterbox_value: not in 0 … 255"] if not all(0 <= v <= 255 for v in declared.letterbox_value) else []),
        *(["size: below 1"] if declared.size is not None and min(declared.size) < 1 else []),
        *(["crop: below 1"] if declared.crop is not None and min(declared.crop) < 1 else []),
    ]
    if wrong:
        raise DatasetError(
            "the table [preprocessing] makes no sense", why="; ".join(wrong), hint="correct it in the file"
        )
