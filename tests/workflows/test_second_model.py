"""The second model for a board brings itself, and not the runtime again."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import onnx.parser
import pytest

from edgedeploy.compile.build import compile_model
from edgedeploy.deploy.push import push
from edgedeploy.device.local import LocalConnection
from edgedeploy.targets.load import load_target

RUNTIME_BYTES = 40_000_000
"""Less than onnxruntime and numpy take on any architecture."""


def model(folder: Path, name: str, values: str) -> Path:
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        m (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {{{values}}}> {{ y = MatMul(x, w) }}"""
    path = folder / f"{name}.onnx"
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    return path


@pytest.mark.keeps_cache
@pytest.mark.skipif(platform.machine() != "x86_64" or sys.version_info[:2] != (3, 11), reason="what x86-64 declares")
def test_the_second_model_brings_no_runtime(tmp_path):
    target = load_target("x86-64")
    device = LocalConnection("local:", tmp_path / "device")
    sent = []
    for name, values in (("one", "1, 2, 3, 4, 5, 6"), ("two", "6, 5, 4, 3, 2, 1")):
        path = model(tmp_path, name, values)
        bundle = compile_model(path, target, tmp_path / f"{name}.edge", backend="onnxruntime", golden_samples=1)
        result = push(bundle, device)
        assert result.activated
        sent.append(result.sent_bytes)
        # What its runner compiles on the device is the device's own: the bundle's files are as they were sent.
        assert Path(result.release.path, ".bytecode", "MD5SUMS").is_file()
    assert sent[0] > RUNTIME_BYTES
    runtime = {entry.sha256 for entry in bundle.manifest.files if entry.path.startswith("runtime/")}
    assert result.kept_files >= len(runtime)
    assert sent[1] < 100_000
