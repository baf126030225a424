"""Presets are what their sources do; a file's own keys change them."""

from __future__ import annotations

import pytest

from edgedeploy.datasets.preprocessing.presets import IMAGE_PRESETS, resolve
from edgedeploy.foundation.errors import DatasetError, UnknownNameError
from edgedeploy.values.model import TensorFacts

INPUT = TensorFacts(name="x", dtype="float32", shape=(1, 3, 112, 112))


@pytest.mark.parametrize("name", IMAGE_PRESETS)
def test_each_resolves_and_names_its_source(name):
    found = resolve({"preset": name})
    assert found.preset == name and found.size is not None
    assert IMAGE_PRESETS[name].source


def test_the_size_is_the_models():
    assert (resolve({"preset": "imagenet"}).size, resolve({"preset": "imagenet"}).crop) == ((256, 256), (224, 224))
    found = resolve({"preset": "imagenet"}, INPUT)
    assert (found.size, found.crop) == ((128, 128), (112, 112))
    assert resolve({"preset": "yolo"}, INPUT).size == (112, 112)
    assert resolve({"preset": "yolo"}).size == (640, 640)


def test_keys_of_the_table_change_the_presets():
    found = resolve({"preset": "imagenet", "color": "bgr", "std": [1.0]}, INPUT)
    assert (found.color, found.std, found.mean) == ("bgr", (1.0,), (0.485, 0.456, 0.406))
    # A value that is the default too: it is said, so it counts.
    assert resolve({"preset": "yolo", "antialias": True}).antialias


def test_another_way_of_resizing_does_not_keep_the_presets_crop():
    found = resolve({"preset": "imagenet", "resize": "stretch"}, INPUT)
    assert (found.resize, found.size, found.crop) == ("stretch", None, None)


def test_a_crop_of_ones_own_keeps_the_ratio():
    found = resolve({"preset": "imagenet", "crop": [56, 56]}, INPUT)
    assert (found.size, found.crop) == ((64, 64), (56, 56))


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="imagnet") as caught:
        resolve({"preset": "imagnet"})
    assert "imagenet" in caught.value.hint


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"sise": [1, 2]}, "sise"),
        ({"color": "yuv"}, "color"),
        ({"mean": [1.0, 2.0]}, "mean"),
        ({"std": [0.0]}, "std"),
        ({"scale": 0.0}, "scale"),
        ({"size": [0, 4]}, "size"),
        ({"crop": [0, 4]}, "crop"),
        ({"letterbox_value": [300]}, "letterbox_value"),
        ({"color": "gray", "mean": [0.5, 0.5, 0.5]}, "mean"),
    ],
)
def test_a_wrong_value_is_named(table, said):
    with pytest.raises(DatasetError) as caught:
        resolve(table)
    assert said in str(caught.value) and caught.value.hint
