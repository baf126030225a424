"""A picture becomes a model's input of the right shape, type and numbers, and labels go with it."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.datasets.preprocessing.images import prepare_picture
from edgedeploy.datasets.preprocessing.presets import resolve
from edgedeploy.datasets.preprocessing.resampling import resample
from edgedeploy.datasets.preprocessing.steps import plan
from edgedeploy.foundation.errors import DatasetError, UnsupportedError
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import ImagePreprocessing

pytest.importorskip("PIL")


def tensor(*shape, dtype="float32", **quantization) -> TensorFacts:
    return TensorFacts(name="x", dtype=dtype, shape=shape, **quantization)


PLAIN = {"antialias": False, "scale": 1.0}


@pytest.mark.parametrize(
    ("shape", "table", "found"),
    [
        ((1, 3, 4, 6), {}, (3, 4, 6)),
        ((1, 4, 6, 3), {}, (4, 6, 3)),
        (("n", "c", 4, 6), {"layout": "nchw"}, (3, 4, 6)),
        ((1, 1, 4, 6), {"color": "gray"}, (1, 4, 6)),
        ((1, 4, 6), {"color": "gray"}, (4, 6)),
        ((1, 3, "h", "w"), {"size": [4, 6]}, (3, 4, 6)),
        ((1, 3, 3, 3), {"layout": "nhwc", "size": [3, 3]}, (3, 3, 3)),
    ],
)
def test_the_layout_is_the_inputs(rng, shape, table, found):
    channels = 1 if table.get("color") == "gray" else 3
    pixels = rng.integers(0, 256, (8, 12, channels), dtype=np.uint8)
    values = prepare_picture(pixels, resolve({**PLAIN, **table}), tensor(*shape)).values
    assert values.shape == found and values.dtype == np.float32 and values.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize(
    ("shape", "table", "said"),
    [
        ((1, 3, 3, 3), {}, "layout"),
        ((1, 10), {}, "takes no pictures"),
        ((1, 1, 4, 6), {}, "color"),
        ((1, 3, "h", "w"), {}, "size"),
        ((1, 3, 4, 6), {"size": [5, 6]}, "size"),
        ((1, 3, 4, 6), {"resize": "none"}, "crop"),
        ((1, 3, 4, 4), {"resize": "shorter-side"}, "crop"),
        ((1, 3, 4, 4), {"crop": [9, 9]}, "crop"),
    ],
)
def test_what_does_not_fit_is_said_with_the_key_to_change(shape, table, said):
    with pytest.raises(DatasetError) as caught:
        prepare_picture(np.zeros((8, 12, 3), np.uint8), resolve(table), tensor(*shape))
    assert said in f"{caught.value.what} {caught.value.hint}" and caught.value.hint


def test_real_numbers_are_scaled_and_normalized_per_channel():
    pixels = np.full((4, 6, 3), (0, 51, 255), np.uint8)
    declared = resolve({"mean": [0.5, 0.25, 0.0], "std": [1.0, 0.5, 2.0]})
    values = prepare_picture(pixels, declared, tensor(1, 3, 4, 6)).values
    assert values[:, 0, 0] == pytest.approx([-0.5, -0.1, 0.5], abs=1e-7)
    assert prepare_picture(pixels, declared, tensor(1, 3, 4, 6, dtype="float16")).values.dtype == np.float16


def test_integers_get_pixels_unless_they_stand_for_real_numbers():
    pixels = np.full((4, 6, 3), (0, 51, 255), np.uint8)
    declared = resolve({"mean": [0.5], "std": [0.5]})
    for dtype, expected in {"uint8": [0, 51, 255], "int8": [-128, -77, 127], "int32": [0, 51, 255]}.items():
        values = prepare_picture(pixels, declared, tensor(1, 4, 6, 3, dtype=dtype)).values
        assert values.dtype == dtype and values[0, 0].tolist() == expected
    # (0, 0.2, 1) becomes (-1, -0.6, 1), in steps of 1/100 from -3; 1 does not fit.
    quantized = tensor(1, 4, 6, 3, dtype="int8", scale=0.01, zero_point=-3)
    assert prepare_picture(pixels, declared, quantized).values[0, 0].tolist() == [-103, -63, 97]
    coarse = tensor(1, 4, 6, 3, dtype="int8", scale=0.005, zero_point=0)
    assert prepare_picture(pixels, declared, coarse).values[0, 0].tolist() == [-128, -120, 127]
    with pytest.raises(UnsupportedError, match="takes no pictures"):
        prepare_picture(pixels, declared, tensor(1, 4, 6, 3, dtype="bool"))


def test_a_method_that_opencv_lacks_is_refused():
    with pytest.raises(UnsupportedError, match="lanczos"):
        resample(np.zeros((8, 8, 3), np.uint8), (4, 4), "lanczos", antialias=False)


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "shorter-side"])
@pytest.mark.parametrize("extent", [(60, 90), (90, 60), (20, 31)])
def test_labels_go_where_the_pixels_go(resize, extent):
    """A bright rectangle is where its box, its corners and its mask are said to be."""
    height, width = extent
    top, left, bottom, right = height // 4, width // 3, height // 4 * 3, width // 3 * 2
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[top:bottom, left:right] = 255
    declared = resolve({"preset": "", "resize": resize, "size": [48, 40], "crop": [40, 40], "letterbox_value": [0]})
    if resize != "shorter-side":
        declared = resolve({"resize": resize, "size": [48, 40], "letterbox_value": [0]})
    prepared = prepare_picture(pixels, declared, tensor(1, "h", "w", 3))
    geometry = prepared.geometry
    assert prepared.values.shape == (geometry.height, geometry.width, 3)
    bright = np.argwhere(prepared.values[..., 0] > 0.5)
    x0, y0, x1, y1 = geometry.boxes(np.array([[left, top, right, bottom]]))[0]
    found = (bright[:, 1].min(), bright[:, 0].min(), bright[:, 1].max() + 1, bright[:, 0].max() + 1)
    clipped = np.clip((x0, y0, x1, y1), 0, (geometry.width, geometry.height) * 2)
    assert np.abs(np.array(found) - clipped).max() <= 0.51
    assert geometry.points(np.array([[left, top], [right, bottom]])).ravel().tolist() == [x0, y0, x1, y1]
    mask = geometry.mask((pixels[..., 0] > 0).astype(np.uint8), outside=255)
    inside = mask != 255
    assert mask.shape == prepared.values.shape[:2]
    assert (inside & (mask == 1) != (prepared.values[..., 0] > 0.5)).mean() < 0.03
    if resize == "letterbox":
        assert not inside.all() and (prepared.values[~inside] == 0).all()


def test_a_mask_of_another_size_than_its_picture_is_refused():
    geometry = plan(60, 90, ImagePreprocessing(size=(30, 30)), (None, None)).geometry
    with pytest.raises(DatasetError, match="90x60"):
        geometry.mask(np.zeros((90, 60), np.uint8), 255)


@pytest.mark.parametrize("extent", [(1, 1), (1, 5000), (5000, 1)])
@pytest.mark.parametrize("resize", ["stretch", "letterbox", "shorter-side"])
@pytest.mark.parametrize("antialias", [True, False])
def test_pictures_of_one_row_or_pixel_are_prepared(extent, resize, antialias):
    table = {"resize": resize, "size": [8, 8], "antialias": antialias}
    if resize == "shorter-side":
        table["crop"] = [8, 8]
    pixels = np.full((*extent, 3), 200, np.uint8)
    values = prepare_picture(pixels, resolve(table), tensor(1, 3, 8, 8)).values
    assert values.max() == np.float32(200 / 255)
