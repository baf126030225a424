"""Another backend is offered only where the target can have it, and for models that it can run."""

from __future__ import annotations

from pathlib import Path

import onnx.parser
import pytest
from msgspec import structs

from edgedeploy.compile.build import compile_model
from edgedeploy.compile.candidates import alternatives, candidates
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.targets.backends import usable_backends
from edgedeploy.targets.load import load_target

NO_C_TYPE = """<ir_version: 10, opset_import: ["" : 21]>
    small (float[4] x) => (float[4] y) { few = Cast<to=16>(x) y = Cast<to=1>(few) }"""


@pytest.mark.parametrize(
    ("target", "offered"), [("rpi4", "--backend onnxruntime-c or onnxruntime or tflite"), ("rpi-zero", "")]
)
def test_what_the_native_backend_cannot_compile(target: str, offered: str, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(onnx.parser.parse_model(NO_C_TYPE).SerializeToString())
    with pytest.raises(UnsupportedError, match="cannot hold 'few'") as caught:
        compile_model(model, load_target(target), tmp_path / "out", backend="native")
    assert ("--backend" in caught.value.hint) is bool(offered) and offered in caught.value.hint


def test_a_backend_that_the_target_does_not_list() -> None:
    target = load_target("rpi-zero")
    with pytest.raises(UnsupportedError) as caught:
        candidates("onnxruntime", target, "onnx")
    assert caught.value.hint == "take another backend: --backend native"
    with pytest.raises(UnsupportedError) as caught:
        candidates("onnxruntime", target, "tflite")
    assert "--backend" not in caught.value.hint, "native runs no .tflite"


def test_only_what_the_target_lists_and_what_takes_the_model() -> None:
    target = load_target("rpi4")
    assert alternatives("native", target, "onnx") == ("onnxruntime-c", "onnxruntime", "tflite")
    assert alternatives("tflite", target, "tflite") == ()
    assert all(facts.text for facts in usable_backends(target, "onnx", text=True))
    unknown = structs.replace(target, backends=("of-a-newer-edgedeploy", "native"))
    assert [facts.name for facts in usable_backends(unknown, "onnx")] == ["native"]
