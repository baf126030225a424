"""The backend `native`: bundles whose model is a program."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from edgedeploy.compile.build import compile_model
from edgedeploy.compile.candidates import candidates
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.targets.load import load_target
from edgedeploy.values.bundle import MANIFEST_NAME

_TEXT = """<ir_version: 8, opset_import: ["": 17]> digits (float[N,3,9,9] image) => (float[N,5] scores)
<float[5,3,3,3] w, float[5] b> {
    c = Conv <pads=[1,1,1,1]> (image, w, b)
    r = Relu(c)
    p = GlobalAveragePool(r)
    f = Flatten(p)
    scores = Softmax <axis=1> (f)
}"""


@pytest.fixture
def model(tmp_path: Path, rng: np.random.Generator) -> Path:
    made = onnx.parser.parse_model(_TEXT)
    del made.graph.initializer[:]
    for name, shape in (("w", (5, 3, 3, 3)), ("b", (5,))):
        made.graph.initializer.append(onnx.numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name))
    path = tmp_path / "digits.onnx"
    onnx.save(made, path)
    return path


def test_refuses_what_is_no_onnx_model() -> None:
    with pytest.raises(UnsupportedError, match="cannot serve") as caught:
        candidates("native", load_target("rpi-zero"), "tflite")
    assert "ONNX" in caught.value.why
    assert [candidate.name for candidate in candidates("native", load_target("rpi-zero"), "onnx")] == ["native"]


@pytest.mark.keeps_cache
@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs a program for x86-64")
def test_a_bundle_is_healthy_and_the_same_each_time(model: Path, tmp_path: Path) -> None:
    bundles = [
        compile_model(model, load_target("x86-64"), tmp_path / f"b{number}", backend="native", golden_samples=2)
        for number in range(2)
    ]
    manifests = [(tmp_path / f"b{number}" / MANIFEST_NAME).read_bytes() for number in range(2)]
    assert manifests[0] == manifests[1]
    runtime = bundles[0].manifest.runtime
    assert runtime.python is None and runtime.glibc is None and not runtime.packages
    assert bundles[0].manifest.model_file == bundles[0].manifest.runner == "run"
    program = tmp_path / "b0" / "run"
    health = json.loads(subprocess.run([str(program), "check"], capture_output=True, check=True, timeout=60).stdout)
    assert health["healthy"] and health["golden_samples"] == 2 and health["cosine"] > 0.999999
    # No path of this machine is in it.
    assert str(tmp_path).encode() not in program.read_bytes() and b"/home/" not in program.read_bytes()


@pytest.mark.keeps_cache
def test_says_which_features_a_64_bit_program_needs(model: Path, tmp_path: Path) -> None:
    bundle = compile_model(model, load_target("rpi5"), tmp_path / "b", backend="native", golden_samples=1)
    assert "asimddp" in bundle.manifest.needs.cpu_features
    page = bundle.manifest.needs.page_size_bytes
    assert page is not None and page >= 16384


@pytest.mark.keeps_cache
def test_golden_samples_of_other_shapes_are_refused(model: Path, tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    samples.mkdir()
    for number, batch in enumerate((1, 2)):
        np.savez(samples / f"{number}.npz", image=np.ones((batch, 3, 9, 9), np.float32))
    with pytest.raises(UnsupportedError, match="of one shape") as caught:
        compile_model(
            model, load_target("rpi-zero"), tmp_path / "b", backend="native", golden=str(samples), golden_samples=2
        )
    assert caught.value.why == f"1x3x9x9 in {samples / '0.npz'}; 2x3x9x9 in {samples / '1.npz'}"
    assert "--golden" in caught.value.hint
    assert "--input-shape" not in str(caught.value)
