"""A model with its preprocessing inside answers pictures as the declared pipeline makes it answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.picture_models import write_picture_model

from edgedeploy.datasets.preprocessing.images import prepare_picture
from edgedeploy.datasets.preprocessing.presets import IMAGE_PRESETS, resolve
from edgedeploy.datasets.synthetic import made_up_picture
from edgedeploy.foundation.errors import DatasetError, UnsupportedError
from edgedeploy.inference.session import open_session
from edgedeploy.model.inspect import inspect_model
from edgedeploy.optimize.embed.embed import EmbeddedModel, embed_preprocessing
from edgedeploy.values.model import ModelFacts

pytestmark = pytest.mark.slow

pytest.importorskip("PIL")


def operators(embedded: EmbeddedModel) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(embedded.content).graph.node]


def facts_of(embedded: EmbeddedModel, folder: Path) -> ModelFacts:
    path = folder / "embedded.onnx"
    path.write_bytes(embedded.content)
    return inspect_model(path)


def answers(content: bytes, values: np.ndarray) -> np.ndarray:
    return open_session(content, "onnx", exact=True).run({"picture": values})[0]


def both(path: Path, embedded: EmbeddedModel, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The answers to a picture: of the model with its preprocessing inside, and of the declared pipeline."""
    tensor = inspect_model(path).inputs[0]
    declared = embedded.preprocessing.declared
    pixels = picture[..., ::-1] if embedded.preprocessing.swaps else picture
    values = prepare_picture(np.ascontiguousarray(pixels), declared, tensor).values
    batch = tensor.shape[0] if isinstance(tensor.shape[0], int) else 1
    return (
        answers(embedded.content, np.stack([picture] * batch)),
        answers(path.read_bytes(), np.stack([values] * batch)),
    )


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("preset", IMAGE_PRESETS)
def test_every_preset_goes_in(tmp_path, rng, preset, padding):
    path = write_picture_model(tmp_path / "model.onnx", padding=padding)
    embedded = embed_preprocessing(path, {"preset": preset})
    assert embedded.preprocessing.resizes and embedded.preprocessing.outside == ""
    for extent in ((90, 61), (33, 170), (32, 40), (9, 11)):
        found, wanted = both(path, embedded, made_up_picture(*extent, 3, rng))
        assert relative(found, wanted) < 0.02  # a level of 255 more or less in some numbers
    said = facts_of(embedded, tmp_path).inputs[0]
    assert said.dtype == "uint8" and said.shape == ("batch", "picture_height", "picture_width", 3)
    assert said.preprocessing == embedded.preprocessing and said.name == "picture"


def test_what_is_added_goes_into_the_bias_only_where_nothing_is_padded(tmp_path):
    """Padding puts zeros around what the convolution is given: that is the mean, and with the mean absorbed it would be
    black."""
    table = {"preset": "imagenet"}
    without = embed_preprocessing(write_picture_model(tmp_path / "a.onnx", padding=0), table)
    assert without.preprocessing.absorbed == ("scale", "mean")
    assert "Sub" not in operators(without)[-5:] and "Mul" not in operators(without)[-5:]
    padded = embed_preprocessing(write_picture_model(tmp_path / "b.onnx", padding=1), table)
    assert padded.preprocessing.absorbed == ("scale",) and operators(padded)[-5] == "Sub"
    # With a mean of 0, zeros are black either way.
    yolo = embed_preprocessing(write_picture_model(tmp_path / "c.onnx", padding=1), {"preset": "yolo"})
    assert yolo.preprocessing.absorbed == ("scale",) and not {"Mul", "Sub"} & set(operators(yolo)[-6:])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("padding", [0, 1])
def test_absorbed_or_not_the_answers_are_the_same(tmp_path, rng, padding, groups, bias):
    """To rounding in float32: nothing is resized here, so there is no other difference."""
    path = write_picture_model(tmp_path / "model.onnx", padding=padding, groups=groups, bias=bias)
    table = {"resize": "none", "color": "bgr", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}
    embedded = embed_preprocessing(path, table, pictures=(32, 40))
    assert ("mean" in embedded.preprocessing.absorbed) == (padding == 0)
    assert ("color" in embedded.preprocessing.absorbed) == (groups == 1)
    found, wanted = both(path, embedded, made_up_picture(32, 40, 3, rng))
    assert relative(found, wanted) < 1e-5


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("picture_color", ["rgb", "bgr"])
def test_pictures_may_come_blue_first(tmp_path, rng, color, picture_color):
    """As frames of OpenCV do."""
    path = write_picture_model(tmp_path / "model.onnx")
    table = {"preset": "imagenet", "color": color}
    embedded = embed_preprocessing(path, table, picture_color=picture_color)
    assert ("color" in embedded.preprocessing.absorbed) == (color != picture_color) == embedded.preprocessing.swaps
    picture = made_up_picture(90, 61, 3, rng)
    found, wanted = both(path, embedded, picture)
    assert relative(found, wanted) < 0.02
    # A dataset decodes in the declared order, and gives the one that the input takes.
    tensor = facts_of(embedded, tmp_path).inputs[0]
    decoded = picture if color == picture_color else picture[..., ::-1]
    assert np.array_equal(prepare_picture(decoded, resolve(table, tensor), tensor).values, picture)


@pytest.mark.parametrize(
    ("model", "table"),
    [
        ({"channels_last": True}, {"preset": "mobilenet-tf"}),
        ({"channels": 1}, {"color": "gray", "antialias": False, "mean": [0.5], "std": [0.5]}),
        ({"dtype": TensorProto.FLOAT16}, {"preset": "imagenet"}),
        ({"batch": 2}, {"preset": "clip"}),
        ({"opset": 11}, {"preset": "imagenet"}),
        ({"opset": 11}, {"preset": "yolo", "letterbox_center": False}),
        ({}, {"preset": "yolo", "letterbox_enlarge": False}),
        ({}, {"resampling": "bicubic", "antialias": False}),
        ({}, {"preset": "imagenet", "color": "bgr"}),
        ({"size": ("h", "w")}, {"preset": "imagenet", "size": [40, 40], "crop": [32, 32]}),
    ],
)
def test_other_models_and_tables(tmp_path, rng, model, table):
    path = write_picture_model(tmp_path / "model.onnx", **model)
    embedded = embed_preprocessing(path, table)
    assert embedded.preprocessing.resizes and embedded.preprocessing.input_difference <= 2
    for extent in ((90, 61), (41, 130)):
        found, wanted = both(path, embedded, made_up_picture(*extent, model.get("channels", 3), rng))
        assert found.dtype == wanted.dtype and relative(found, wanted) < 0.02


def test_a_transpose_that_exporters_put_first_is_dropped(tmp_path):
    path = write_picture_model(tmp_path / "model.onnx", channels_last=True, padding=0)
    embedded = embed_preprocessing(path, {"preset": "mobilenet-tf"}, pictures="model")
    assert operators(embedded) == ["Transpose", "Cast", "Conv", "Relu", "GlobalAveragePool", "Flatten"]


def test_for_pictures_of_one_size_all_sizes_are_constants(tmp_path, rng):
    path = write_picture_model(tmp_path / "model.onnx")
    embedded = embed_preprocessing(path, {"preset": "yolo"}, pictures=(70, 50))
    assert facts_of(embedded, tmp_path).inputs[0].shape == ("batch", 70, 50, 3)
    assert not {"Div", "Min", "Max"} & set(operators(embedded))
    found, wanted = both(path, embedded, made_up_picture(70, 50, 3, rng))
    assert relative(found, wanted) < 0.02


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"resampling": "lanczos"}, "lanczos"),
        ({"resampling": "area"}, "area"),
        ({"preset": "yolo", "letterbox_value": [1, 2, 3]}, "letterbox_value"),
    ],
)
def test_what_onnx_does_not_do_as_declared_stays_outside_and_is_said(tmp_path, rng, table, said):
    path = write_picture_model(tmp_path / "model.onnx")
    embedded = embed_preprocessing(path, table)
    assert not embedded.preprocessing.resizes and said in embedded.preprocessing.outside
    tensor = facts_of(embedded, tmp_path).inputs[0]
    assert tensor.shape == ("batch", 32, 40, 3)
    # The dataset does then what is outside, and nothing more.
    picture = made_up_picture(90, 61, 3, rng)
    outside = prepare_picture(picture, resolve(table, tensor), tensor)
    assert outside.values.dtype == np.uint8 and outside.values.shape == (32, 40, 3)
    wanted = both(path, embedded, outside.values)
    before = prepare_picture(picture, embedded.preprocessing.declared, inspect_model(path).inputs[0])
    assert relative(wanted[0], answers(path.read_bytes(), before.values[np.newaxis])) < 1e-5
    assert outside.geometry == before.geometry


def test_a_dataset_gives_pictures_to_such_a_model_and_labels_as_before(tmp_path, rng):
    path = write_picture_model(tmp_path / "model.onnx")
    tensor = facts_of(embed_preprocessing(path, {"preset": "yolo"}), tmp_path).inputs[0]
    picture = made_up_picture(90, 61, 3, rng)
    declared = resolve({"preset": "yolo"}, tensor)
    prepared = prepare_picture(picture, declared, tensor)
    assert np.array_equal(prepared.values, picture)
    before = inspect_model(path).inputs[0]
    # Boxes stay in pixels of what the rest of the model takes: that is what it answers in.
    assert prepared.geometry == prepare_picture(picture, resolve({"preset": "yolo"}, before), before).geometry


def test_data_that_declare_something_else_than_what_is_inside_are_refused(tmp_path):
    path = write_picture_model(tmp_path / "model.onnx")
    tensor = facts_of(embed_preprocessing(path, {"preset": "imagenet", "color": "bgr"}), tmp_path).inputs[0]
    declared = resolve({"preset": "imagenet", "color": "bgr"}, tensor)
    assert declared == resolve({}, tensor)
    # Decoded in the declared order, and given in the one that the input takes: red first.
    pixels = np.full((50, 60, 3), (1, 2, 3), np.uint8)
    assert prepare_picture(pixels, declared, tensor).values[0, 0].tolist() == [3, 2, 1]
    with pytest.raises(DatasetError, match="color") as caught:
        resolve({"preset": "imagenet"}, tensor)
    assert "bgr" in caught.value.why and caught.value.hint


def test_pictures_of_another_size_than_compiled_for_are_refused(tmp_path):
    path = write_picture_model(tmp_path / "model.onnx")
    tensor = facts_of(embed_preprocessing(path, {"preset": "yolo"}, pictures=(70, 50)), tmp_path).inputs[0]
    with pytest.raises(DatasetError, match="71 pixels high") as caught:
        prepare_picture(np.zeros((71, 50, 3), np.uint8), resolve({}, tensor), tensor)
    assert "--picture-size any" in caught.value.hint


def test_weights_among_the_inputs_are_not_taken_for_pictures(tmp_path, rng):
    """As in files of IR version 3."""
    path = write_picture_model(tmp_path / "model.onnx")
    model = onnx.load(path)
    picture = model.graph.input.pop()
    for weight in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    model.graph.input.append(picture)
    model.ir_version = 3
    onnx.save(model, path)
    embedded = embed_preprocessing(path, {"preset": "yolo"})
    found, wanted = both(path, embedded, made_up_picture(90, 61, 3, rng))
    assert relative(found, wanted) < 0.02


def two_inputs(path: Path) -> Path:
    model = onnx.load(write_picture_model(path))
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1, 3, 8, 8]))
    onnx.save(model, path)
    return path


def test_models_that_take_no_pictures_are_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="cannot be put"):
        embed_preprocessing(two_inputs(tmp_path / "two.onnx"), {"preset": "yolo"})
    integers = write_picture_model(tmp_path / "double.onnx", dtype=TensorProto.DOUBLE)
    with pytest.raises(UnsupportedError, match="cannot be put") as caught:
        embed_preprocessing(integers, {"preset": "yolo"})
    assert "float64" in caught.value.why
    path = write_picture_model(tmp_path / "model.onnx")
    path.write_bytes(embed_preprocessing(path, {"preset": "yolo"}).content)
    with pytest.raises(UnsupportedError, match="already"):
        embed_preprocessing(path, {"preset": "yolo"})


def test_a_size_that_depends_on_the_picture_is_refused(tmp_path):
    path = write_picture_model(tmp_path / "model.onnx", size=("h", "w"))
    for table in ({"resize": "none"}, {"resize": "shorter-side", "size": [32, 32]}):
        with pytest.raises(DatasetError, match="depends on the picture"):
            embed_preprocessing(path, table)


def test_the_record_in_a_file_is_passed_over_where_it_is_none(tmp_path):
    path = write_picture_model(tmp_path / "model.onnx")
    model = onnx.load(path)
    model.metadata_props.append(onnx.StringStringEntryProto(key="edgedeploy.preprocessing", value='{"picture": 3}'))
    onnx.save(model, path)
    assert inspect_model(path).inputs[0].preprocessing is None


def test_where_the_pixels_are_others_resizing_stays_outside(tmp_path):
    """Pillow resizes rows first where that is less work, and clips in between; Resize has the columns first."""
    path = write_picture_model(tmp_path / "model.onnx", size=(31, 61))
    embedded = embed_preprocessing(path, {"resampling": "bicubic"}, pictures=(32, 37))
    assert not embedded.preprocessing.resizes and embedded.preprocessing.input_difference == 0
    assert "levels of 255" in embedded.preprocessing.outside


def test_a_wrong_pipeline_inside_would_be_found(tmp_path, monkeypatch):
    """The comparison is what stands between a mistake here and a model that answers wrongly: it is tried itself."""
    from edgedeploy.optimize.embed import graph

    path = write_picture_model(tmp_path / "model.onnx")
    right = graph.normalization_of

    def wrong(declared, *, swapped=False):
        found = right(declared, swapped=swapped)
        return graph.Normalization(found.shift + 2, found.factor, found.swapped)

    monkeypatch.setattr(graph, "normalization_of", wrong)
    with pytest.raises(UnsupportedError, match="cannot be put") as caught:
        embed_preprocessing(path, {"preset": "mobilenet-tf"})
    assert "2 levels of 255" in caught.value.why
