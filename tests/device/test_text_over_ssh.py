"""Text to a device and back, over a real connection."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx.parser
import pytest
from support.host_backend import HostBackend

import edgedeploy.compile.backends.onnxruntime as onnxruntime_backend
from edgedeploy.compile.build import compile_model
from edgedeploy.deploy.preflight import check_device
from edgedeploy.deploy.push import push
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.measure.evaluate import test as run_test
from edgedeploy.targets.load import load_target
from edgedeploy.values.bundle import Needs

pytestmark = pytest.mark.device

ENCODER = """
    <ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>
    encoder (string[N, 1] city, float[N, 1] x) => (float[N, 1] y, string[N, 1] label)
    {
        code = ai.onnx.ml.LabelEncoder
            <keys_strings = ["Bern", "São Paulo"], values_floats = [1.0, 2.0], default_float = 0.0> (city)
        y = Add(code, x)
        whole = Cast <to = 7> (code)
        label = ai.onnx.ml.LabelEncoder <keys_int64s = [0, 1, 2], values_strings = ["?", "CH", "BR 🇧🇷"]> (whole)
    }
"""


def test_columns_of_text_are_tested_on_a_device(sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime_backend, "BACKEND", HostBackend())
    model = tmp_path / "encoder.onnx"
    model.write_bytes(onnx.parser.parse_model(ENCODER).SerializeToString())
    data = tmp_path / "columns.npz"
    cities = np.array([["Bern"], ["São Paulo"], [""], ["a\nb"]])
    np.savez(data, city=cities, x=np.zeros((4, 1), np.float32), labels=np.array(["CH", "BR 🇧🇷", "?", "CH"]))
    target = msgspec.structs.replace(load_target("x86-64"), backends=("onnxruntime",))
    bundle = compile_model(model, target, tmp_path / "bundle", golden=str(data))
    with sshd.connect() as device:
        release = push(bundle, device).release
        accuracy = run_test(device, release, str(data)).accuracy
        assert accuracy is not None and accuracy.metric is not None
        assert accuracy.by_output["label"].text_match == 1.0
        assert (accuracy.metric.value, accuracy.metric.samples) == (0.75, 4)


def test_locales_are_asked_for_on_the_device(sshd, make_bundle) -> None:
    manifest = make_bundle().manifest
    missing = msgspec.structs.replace(manifest, needs=Needs(locales=("xx_YY.UTF-8",)))
    with sshd.connect() as device:
        assert check_device(manifest, device).machine
        with pytest.raises(DeviceError, match=r"by the locale xx_YY\.UTF-8"):
            check_device(missing, device)
