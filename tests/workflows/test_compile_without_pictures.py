"""What a bundle's manifest says of preprocessing that is no picture's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest
from support.host_backend import HostBackend

from edgedeploy import api
from edgedeploy.foundation.errors import DatasetError


def manifest_says(folder: Path, preprocessing: dict[str, Any]) -> dict[str, Any]:
    text = '<ir_version: 8, opset_import: ["": 13]> g (float[N, 3] x) => (float[N, 3] y) { y = Softmax(x) }'
    onnx.save(onnx.parser.parse_model(text), folder / "model.onnx")
    target = api.load_target("x86-64")
    bundle = api.compile(folder / "model.onnx", target, folder / "out.bundle", preprocessing=preprocessing)
    return bundle.manifest.preprocessing


@pytest.fixture(autouse=True)
def runner_of_the_tests(monkeypatch):
    monkeypatch.setattr("edgedeploy.compile.backends.onnxruntime.BACKEND", HostBackend())


def test_a_preset_of_sound_is_written_out(tmp_path):
    said = manifest_says(tmp_path, {"preset": "mlperf-tiny-kws", "coefficients": 12})
    assert (said["mel_bands"], said["coefficients"], said["rate_hz"]) == (40, 12, 16_000)


@pytest.mark.parametrize("table", [{"fill": {"age": 1.0}}, {"mean": {"age": 1.0}}, {"tokenizer": "tokenizer.json"}])
def test_tables_and_texts_are_written_as_declared(tmp_path, table):
    assert manifest_says(tmp_path, table) == table


def test_sound_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="hop_samples = 0"):
        manifest_says(tmp_path, {"hop_samples": 0})
