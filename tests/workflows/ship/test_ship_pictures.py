"""From pictures as people have them to a verdict: `init`, then `ship`, for each task, judged by its own metric."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image
from support.color_model import color_model
from support.host_backend import HostBackend
from support.pictures import coco, gray

from edgedeploy import api
from edgedeploy.values.contract import Contract, Outcome
from edgedeploy.values.shipment import Shipment
from edgedeploy.verdict.contract import dataset_spec

SIDE = 32


def constant_times_brightness(path: Path, rows: np.ndarray) -> Path:
    """A model that answers `rows` for each picture that is not black."""
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
            onnx.helper.make_node("Min", ["most", "top"], ["bright"]),
            onnx.helper.make_node("Mul", ["rows", "bright"], ["y"]),
        ],
        "constant",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, list(rows.shape))],
        [
            onnx.numpy_helper.from_array(rows, "rows"),
            onnx.numpy_helper.from_array(np.array(1.0, np.float32), "top"),
        ],
    )
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 13)]), path)
    return path


def noise(rng: np.random.Generator, size: int = SIDE) -> np.ndarray:
    return rng.integers(0, 255, (size, size, 3)).astype(np.uint8)


def classification(folder: Path, rng: np.random.Generator) -> None:
    color_model(folder / "model.onnx")
    for each in range(30):
        pixels = noise(rng, 8) // 2
        pixels[..., each % 3] += 100
        save(folder / f"set/{'abc'[each % 3]}/{each}.png", pixels)


def detection(folder: Path, rng: np.random.Generator) -> None:
    rows = np.zeros((1, 6, 12), np.float32)
    rows[0, :5, 0] = [8, 8, 16, 16, 1]
    constant_times_brightness(folder / "model.onnx", rows)
    boxes = [{"bbox": [0, 0, 16, 16], "image_id": 100 + each} for each in range(4)]
    coco(folder / "set", boxes, size=(SIDE, SIDE), pictures=4)


def keypoints(folder: Path, rng: np.random.Generator) -> None:
    points = np.array([[[8, 8, 1], [16, 24, 1]]], np.float32)
    constant_times_brightness(folder / "model.onnx", points)
    labels = [
        {"bbox": [4, 4, 24, 24], "area": 576, "image_id": 100 + each, "keypoints": [8, 8, 2, 16, 24, 2]}
        for each in range(4)
    ]
    coco(folder / "set", labels, size=(SIDE, SIDE), pictures=4)


def segmentation(folder: Path, rng: np.random.Generator) -> None:
    save_text_model(folder / "model.onnx", "y = Mul(x, two)", "float two = {2.0}")
    for each in range(6):
        pixels = noise(rng)
        save(folder / f"set/images/{each}.png", pixels)
        gray(folder / f"set/masks/{each}.png", pixels.argmax(2).astype(np.uint8))


def picture_to_picture(folder: Path, rng: np.random.Generator) -> None:
    save_text_model(folder / "model.onnx", "y = Mul(x, half)", "float half = {0.5}")
    for each in range(6):
        pixels = noise(rng)
        save(folder / f"set/inputs/{each}.png", pixels)
        save(folder / f"set/targets/{each}.png", pixels // 2)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_text_model(path: Path, body: str, constant: str) -> None:
    text = f"""<ir_version: 8, opset_import: ["": 13]>
    g (float[N, 3, {SIDE}, {SIDE}] x) => (float[N, 3, {SIDE}, {SIDE}] y) <{constant}> {{ {body} }}"""
    onnx.save(onnx.parser.parse_model(text), path)


def contract_of(folder: Path, make: Callable[[Path, np.random.Generator], None], rng: np.random.Generator) -> Contract:
    make(folder, rng)
    settings = api.InitSettings(name="model", recipe="fold")
    return api.init(folder / "model.onnx", str(folder / "set"), folder / "contract.toml", settings).contract


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "metric", "least"),
    [
        (classification, "top1", 1.0),
        (detection, "map", 1.0),
        (keypoints, "keypoint-map", 1.0),
        (segmentation, "miou", 0.99),
        (picture_to_picture, "psnr", 45.0),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_from_a_folder_to_a_verdict_by_the_tasks_metric(
    make: Callable[[Path, np.random.Generator], None],
    metric: str,
    least: float,
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All steps of `ship` but those that measure time, which say nothing of data."""
    monkeypatch.setattr("edgedeploy.compile.backends.onnxruntime.BACKEND", HostBackend())
    contract = contract_of(tmp_path, make, rng)
    evaluation = dataset_spec(contract, contract.data.evaluation)
    model, small = tmp_path / "model.onnx", tmp_path / "small.onnx"
    settings = {"metric": contract.data.metric, "head": contract.data.head}
    recipe = api.load_recipe("fold")
    assert api.optimize(model, recipe, small, evaluation=evaluation, **settings).accepted
    bundle = api.compile(small, api.load_target("x86-64"), tmp_path / "bundle", golden=evaluation, contract=contract)
    with api.connect(f"local:{tmp_path / 'device'}") as device:
        api.push(bundle, device)
        measurement = api.test(device, api.current_release(device), evaluation, **settings)
    verdict = api.check(contract, measurement)
    outcomes = {line.key: line.outcome for line in verdict.lines}
    assert outcomes["data.evaluation_sha256"] is Outcome.HOLDS and outcomes["limits.metric_min"] is Outcome.HOLDS
    assert measurement.accuracy is not None and measurement.accuracy.metric is not None
    assert measurement.accuracy.metric.name == metric and measurement.accuracy.metric.value >= least


@pytest.mark.long
def test_a_folder_is_shipped(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgedeploy.compile.backends.onnxruntime.BACKEND", HostBackend())
    contract = contract_of(tmp_path, detection, rng)
    shipment: Shipment = api.ship(contract, f"local:{tmp_path / 'device'}", profile="smoke")
    assert shipment.verdict is not None and shipment.verdict.outcome is Outcome.HOLDS, shipment.evidence.reasons
    page = api.write_report(tmp_path / "report", shipment)
    assert "map" in page.read_text(encoding="utf-8")
