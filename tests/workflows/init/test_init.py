"""A contract out of a model and a folder: what is guessed, why, and that `ship` takes it as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from click.testing import CliRunner
from PIL import Image
from support.color_model import color_model
from support.pictures import class_folders, coco, picture

from edgedeploy import api
from edgedeploy.cli.main import cli
from edgedeploy.foundation.errors import DatasetError, InvalidFileError, UnsupportedError
from edgedeploy.values.contract import Outcome
from edgedeploy.values.data import DataSource
from edgedeploy.values.guess import InitiatedContract
from edgedeploy.values.quality import MetricFigure
from edgedeploy.workflows.init.trials import is_chance

pytestmark = pytest.mark.slow


def made(model: Path, data: Path, **settings: Any) -> InitiatedContract:
    path = model.parent / "contract.toml"
    found = api.init(model, str(data), path, api.InitSettings(name="model", **settings))
    lines = api.check_hand_over(api.load_contract(path)).lines
    assert all(line.outcome is Outcome.HOLDS for line in lines), lines
    return found


def said(found: InitiatedContract, key: str) -> tuple[str, str]:
    (guess,) = [guess for guess in found.guesses if guess.key == key]
    return guess.value, guess.reason


def boundary(path: Path, threshold: float) -> Path:
    """A model that says whether red minus blue is over a threshold, so that only one preprocessing gives it right."""
    weights = "{-1.0, 0.0, 1.0, 1.0, 0.0, -1.0}"
    text = f"""<ir_version: 8, opset_import: ["": 13]>
    g (float[N, 3, 8, 8] x) => (float[N, 2] y)
    <float[2, 3] weights = {weights}, float[2] bias = {{{threshold}, {-threshold}}}> {{
        mean = ReduceMean<axes = [2, 3], keepdims = 0>(x)
        turned = Transpose<perm = [1, 0]>(weights)
        scores = MatMul(mean, turned)
        y = Add(scores, bias)
    }}"""
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def shades(folder: Path, rng: np.random.Generator, *, limit: int) -> Path:
    """Pictures in which red is more than blue, by under or over a limit of 255."""
    for number in range(40):
        over = number % 2
        difference = int(rng.integers(limit + 12, limit + 50) if over else rng.integers(0, limit - 12))
        color = (60 + difference, 80, 60)
        picture(folder / ("over" if over else "below") / f"{number}.png", color)
    return folder


def picture_of(path: Path, levels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)


def test_preprocessing_is_the_one_with_which_the_model_answers_best(tmp_path, rng):
    """Trained with pixels from 0 to 255, which no preset for classifiers has."""
    model = boundary(tmp_path / "model.onnx", 60.0)
    found = made(model, shades(tmp_path / "set", rng, limit=60))
    value, reason = said(found, "preprocessing")
    assert value == "stretched, values in [0, 255]"
    assert "top1 over 32 samples is 1; with" in reason
    assert found.contract.data.preprocessing == {"resize": "stretch", "scale": 1.0}
    assert found.contract.limits.metric_min == 0.99


def test_no_better_than_chance_is_said(tmp_path, rng):
    model = boundary(tmp_path / "model.onnx", 60.0)
    pictures = shades(tmp_path / "set", rng, limit=60)
    for number, path in enumerate(sorted(pictures.rglob("*.png"))):
        other = "below" if number % 2 else "over"
        path.rename(pictures / other / f"moved-{number}.png")
    _, reason = said(made(model, pictures), "preprocessing")
    assert "no better than chance" in reason
    good, poor = (MetricFigure(name="top1", value=value, samples=32) for value in (0.75, 0.66))
    assert not is_chance(good, 2) and is_chance(poor, 2) and not is_chance(poor, None)


def test_the_part_for_judging_is_taken(tmp_path, rng):
    model = boundary(tmp_path / "model.onnx", 60.0)
    for part in ("train", "val"):
        shades(tmp_path / "set" / part, rng, limit=60)
    found = made(model, tmp_path / "set")
    assert said(found, "part")[0] == "val"
    evaluation, calibration = found.contract.data.evaluation, found.contract.data.calibration
    assert isinstance(evaluation, DataSource) and isinstance(calibration, DataSource)
    assert (evaluation.split, calibration.split) == ("val", "train")


def test_pictures_may_go_in_as_large_as_they_are(tmp_path, rng):
    """Where the model takes any size: here it looks at the top left only, which no resizing leaves where it is."""
    model = tmp_path / "model.onnx"
    text = """<ir_version: 8, opset_import: ["": 13]>
    g (float[N, 3, H, W] x) => (float[N, 2] y)
    <int64[2] starts = {0, 0}, int64[2] ends = {2, 2}, int64[2] axes = {2, 3}, float[1, 2] sign = {-1.0, 1.0}> {
        corner = Slice(x, starts, ends, axes)
        mean = ReduceMean<axes = [1, 2, 3], keepdims = 0>(corner)
        axis = Constant<value = int64[1] {1}>()
        column = Unsqueeze(mean, axis)
        middle = Constant<value = float {0.5}>()
        level = Sub(column, middle)
        y = MatMul(level, sign)
    }"""
    onnx.save(onnx.parser.parse_model(text), model)
    for number in range(40):
        levels = np.full((6, 40, 3), 255 * (1 - number % 2), np.uint8)
        levels[:2, :2] = rng.integers(0, 100) + 150 * (number % 2)
        picture_of(tmp_path / "set" / ("b-light" if number % 2 else "a-dark") / f"{number}.png", levels)
    value, _ = said(made(model, tmp_path / "set"), "preprocessing")
    assert value == "as large as they are, values in [0, 1]"


def test_colors_may_be_the_other_way_round(tmp_path, rng):
    model = color_model(tmp_path / "model.onnx")
    for number, name in enumerate(("c-is-blue", "b-is-green", "a-is-red")):
        levels = np.zeros((8, 8, 3), np.uint8)
        levels[..., 2 - number] = 200
        for each in range(5):
            path = tmp_path / f"set/{number}-{name}/{each}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(levels).save(path)
    found = made(model, tmp_path / "set")
    assert found.contract.data.preprocessing["color"] == "bgr"
    assert said(found, "preprocessing")[0].endswith("blue, green, red")


def test_format_task_metric_and_calibration_are_said_with_their_reasons(tmp_path):
    model = color_model(tmp_path / "model.onnx")
    for part, count in (("train", 4), ("val", 3)):
        class_folders(tmp_path / "set" / part, {"a": count, "b": count, "c": count})
    found = made(model, tmp_path / "set/val")
    assert said(found, "format")[0] == "imagefolder" and "sub-folder" in said(found, "format")[1]
    assert said(found, "task") == ("classification", "the format says so")
    assert said(found, "metric") == ("top1", "it is the usual one of the task")
    assert said(found, "calibration") == (str(tmp_path / "set/train"), "it is the training part beside the data")
    data = found.contract.data
    assert data.evaluation == DataSource(path="set/val", format="imagefolder")
    assert data.calibration == DataSource(path="set/train", format="imagefolder")
    assert found.contract.optimization.recipe == "int8"
    # Of pictures of one color, each preset is right: the usual one is taken, and that is said.
    assert found.contract.data.preprocessing == {"preset": "imagenet"}
    assert "nothing tells it from the next" in said(found, "preprocessing")[1]


def test_what_is_stated_is_not_guessed(tmp_path):
    model = color_model(tmp_path / "model.onnx")
    folder = class_folders(tmp_path / "set", {"a": 3, "b": 3, "c": 3})
    (folder / "b/000.png").write_bytes(b"no")
    settings = {"preset": "mobilenet-tf", "metric": "f1-macro", "task": "classification", "recipe": "weights-int8"}
    with pytest.raises(DatasetError, match=r"b/000\.png"):
        made(model, folder, **settings)
    found = made(model, folder, **settings, skip_broken=True)
    assert found.contract.data.preprocessing == {"preset": "mobilenet-tf"} and found.contract.data.metric == "f1-macro"
    assert said(found, "preprocessing") == ("preset mobilenet-tf", "as stated")
    assert isinstance(found.contract.data.evaluation, DataSource) and found.contract.data.evaluation.skip_broken


def detector(path: Path, *, normalized: bool, rows: np.ndarray | None = None) -> Path:
    """A detector of the form of YOLOv8 whose only object is the red patch in the upper left quarter of 32 x 32."""
    scale = 1 / 32 if normalized else 1.0
    box = [8 * scale, 8 * scale, 16 * scale, 16 * scale]
    if rows is None:
        rows = np.zeros((1, 6, 12), np.float32)
        rows[0, :5, 0] = [*box, 1.0]
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceMax", ["x"], ["most"], keepdims=1),
            onnx.helper.make_node("Reshape", ["most", "shape"], ["one"]),
            onnx.helper.make_node("Min", ["one", "top"], ["bright"]),
            onnx.helper.make_node("Mul", ["rows", "bright"], ["y"]),
        ],
        "detector",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 32, 32])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, list(rows.shape))],
        [
            onnx.numpy_helper.from_array(rows, "rows"),
            onnx.numpy_helper.from_array(np.array([1, 1, 1], np.int64), "shape"),
            onnx.numpy_helper.from_array(np.array([1.0], np.float32), "top"),
        ],
    )
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 13)]), path)
    return path


@pytest.mark.parametrize("normalized", [False, True])
def test_the_head_is_the_one_that_finds_the_objects(tmp_path, normalized):
    model = detector(tmp_path / "model.onnx", normalized=normalized)
    folder = coco(
        tmp_path / "set",
        [{"bbox": [0, 0, 16, 16], "image_id": 100 + each} for each in range(3)],
        size=(32, 32),
        pictures=3,
    )
    found = made(model, folder)
    assert found.contract.data.head is not None and found.contract.data.head.kind == "yolov8"
    assert found.contract.data.head.options == ({"normalized": True} if normalized else {})
    assert said(found, "task")[0] == "detection" and said(found, "metric")[0] == "map"
    assert said(found, "head")[1].startswith("map over 3 samples is 1")
    assert said(found, "calibration")[0] == str(folder)


def test_classes_that_keep_the_ids_of_their_categories_are_found(tmp_path):
    """The model's class 3 is the category with the id 3, which would be the first of all."""
    rows = np.zeros((1, 8, 12), np.float32)
    rows[0, :4, 0] = [0.25, 0.25, 0.5, 0.5]
    rows[0, 4 + 3, 0] = 1.0
    model = detector(tmp_path / "model.onnx", normalized=True, rows=rows)
    boxes = [{"bbox": [0, 0, 16, 16], "image_id": 100 + each} for each in range(3)]
    found = made(model, coco(tmp_path / "set", boxes, size=(32, 32), pictures=3))
    assert said(found, "class_ids_from")[0] == "0"
    assert isinstance(found.contract.data.evaluation, DataSource) and found.contract.data.evaluation.class_ids_from == 0
    assert found.contract.limits.metric_min == 0.99


@pytest.mark.parametrize("has_outlines", [True, False])
def test_outlines_are_judged_where_the_model_gives_masks(tmp_path, has_outlines):
    """An output of prototypes beside that of a detector: 6 + 32 channels, of which the first object's mask is all."""
    rows = np.zeros((1, 4 + 2 + 32, 50), np.float32)
    rows[0, :5, 0] = [8, 8, 16, 16, 1]
    rows[0, 6, 0] = 1.0
    model = detector(tmp_path / "model.onnx", normalized=False, rows=rows)
    loaded = onnx.load(model)
    loaded.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 32, 8, 8), np.float32), "ones"))
    loaded.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 1, 1, 1], np.int64), "four"))
    loaded.graph.node.append(onnx.helper.make_node("Reshape", ["bright", "four"], ["bright4"]))
    loaded.graph.node.append(onnx.helper.make_node("Mul", ["ones", "bright4"], ["protos"]))
    loaded.graph.output.append(onnx.helper.make_tensor_value_info("protos", onnx.TensorProto.FLOAT, [1, 32, 8, 8]))
    onnx.save(loaded, model)
    square = [[0, 0, 16, 0, 16, 16, 0, 16]] if has_outlines else []
    boxes = [{"bbox": [0, 0, 16, 16], "image_id": 100 + each, "segmentation": square} for each in range(3)]
    found = made(model, coco(tmp_path / "set", boxes, size=(32, 32), pictures=3))
    assert said(found, "task")[0] == ("instance-segmentation" if has_outlines else "detection")
    assert found.contract.data.metric == ("mask-map" if has_outlines else "map")
    assert found.contract.limits.metric_min == 0.99


def test_outputs_that_no_head_fits_are_said(tmp_path):
    model = color_model(tmp_path / "model.onnx")
    folder = coco(tmp_path / "set", [{"bbox": [0, 0, 4, 4]}])
    with pytest.raises(UnsupportedError, match="no head is known that fits the outputs") as caught:
        made(model, folder)
    assert "--head" in caught.value.hint


def test_arrays_and_numbers_to_be_estimated_are_known_by_their_labels(tmp_path, rng):
    model = color_model(tmp_path / "model.onnx")
    x = rng.random((12, 3, 8, 8), np.float32)
    np.savez(tmp_path / "classes.npz", x=x, labels=x.mean((2, 3)).argmax(1))
    found = made(model, tmp_path / "classes.npz")
    assert said(found, "task")[0] == "classification" and found.contract.data.evaluation == "classes.npz"
    assert found.contract.optimization.recipe == "weights-int8"
    (tmp_path / "contract.toml").unlink()
    np.savez(tmp_path / "numbers.npz", x=x, labels=x.mean((2, 3)).astype(np.float64))
    found = made(model, tmp_path / "numbers.npz")
    assert said(found, "task")[0] == "regression" and found.contract.data.metric == "rmse"


def test_data_without_labels_promise_nothing(tmp_path):
    model = color_model(tmp_path / "model.onnx")
    picture(tmp_path / "set/a.png")
    with pytest.raises(DatasetError, match="has no labels"):
        made(model, tmp_path / "set")


def test_nothing_is_overwritten(tmp_path):
    model = color_model(tmp_path / "model.onnx")
    (tmp_path / "contract.toml").write_text("mine")
    with pytest.raises(InvalidFileError, match="exists"):
        made(model, class_folders(tmp_path / "set", {"a": 1}))


def test_a_data_toml_says_what_is_not_guessed(tmp_path):
    model = color_model(tmp_path / "model.onnx")
    class_folders(tmp_path / "set", {"a": 2, "b": 2, "c": 2})
    (tmp_path / "data.toml").write_text('path = "set"\nclass_names = ["a", "b", "c"]\n[preprocessing]\nscale = 0.01\n')
    found = made(model, tmp_path / "data.toml")
    assert found.contract.data.preprocessing == {"scale": 0.01}
    assert found.contract.data.evaluation == DataSource(path="set", format="imagefolder", class_names=("a", "b", "c"))


def test_two_commands_from_a_folder_of_pictures_to_a_verdict(tmp_path, monkeypatch, rng):
    """`edgedeploy init`, `edgedeploy ship`: nothing is written by hand."""
    monkeypatch.chdir(tmp_path)
    boundary(tmp_path / "model.onnx", 60.0)
    shades(tmp_path / "set", rng, limit=60)
    result = CliRunner().invoke(cli, ["init", "model.onnx", "set"], standalone_mode=False, catch_exceptions=False)
    assert result.return_value == 0 and "wrote contract.toml" in result.stdout
    for words in ("format", "imagefolder", "stretched, values in [0, 255]", "top1 over 32 samples is 1"):
        assert words in result.stdout
    shipped = CliRunner().invoke(
        cli, ["contract", "check", "contract.toml"], standalone_mode=False, catch_exceptions=False
    )
    assert shipped.return_value == 0
