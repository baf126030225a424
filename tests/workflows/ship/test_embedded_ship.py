"""A contract may ask that the model prepare pictures itself: the same figures, from pictures as files hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.host_backend import HostBackend
from support.picture_models import write_picture_model

from edgedeploy import api
from edgedeploy.foundation.files import sha256_file
from edgedeploy.values.contract import Outcome
from edgedeploy.values.shipment import Shipment

pytestmark = pytest.mark.slow

Image = pytest.importorskip("PIL.Image")

CONTRACT = """
schema = 1
[model]
name = "patches"
version = "1"
framework = "none"
file = "model.onnx"
sha256 = "{sha256}"
[data]
evaluation = "val"
metric = "top1"
embed_preprocessing = {embed}
[data.preprocessing]
preset = "yolo"
[optimization]
recipe = "fold"
[limits]
metric_max_drop = 0.05
"""


def ship(folder: Path, device: Path, *, embed: bool) -> Shipment:
    model = write_picture_model(folder / "model.onnx")
    path = folder / "contract.toml"
    path.write_text(CONTRACT.format(sha256=sha256_file(model), embed="true" if embed else "false"))
    shipment = api.ship(
        api.load_contract(path), f"local:{device}", target="x86-64", backend="onnxruntime", profile="smoke"
    )
    api.write_report(folder / f"report{embed}", shipment)
    return shipment


def test_a_shipment_holds_with_preprocessing_inside_and_outside(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("edgedeploy.compile.backends.onnxruntime.BACKEND", HostBackend())
    for number in range(12):
        folder = tmp_path / "val" / str(number % 6)
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40 + 3 * number, 70 - 2 * number, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    outside, inside = (ship(tmp_path, tmp_path / f"device{embed}", embed=embed) for embed in (False, True))
    for shipment in (outside, inside):
        assert shipment.verdict is not None and shipment.verdict.outcome is Outcome.HOLDS
    assert inside.bundle is not None and outside.bundle is not None
    assert inside.bundle.embedded is not None and inside.bundle.embedded.resizes and outside.bundle.embedded is None
    assert inside.bundle.preprocessing == outside.bundle.preprocessing != {}
    assert "inside the model: at most" in (tmp_path / "reportTrue/index.html").read_text()
    assert "yolo, letterbox, 32x40, rgb; by the application" in (tmp_path / "reportFalse/index.html").read_text()
    accuracies = [shipment.measurement.accuracy for shipment in (outside, inside) if shipment.measurement is not None]
    first, second = (accuracy for accuracy in accuracies if accuracy is not None)
    assert first.evaluation_sha256 == second.evaluation_sha256 and first.samples == second.samples == 12
