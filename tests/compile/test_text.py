"""Models with text, and with other types that do not travel: which backends take them, and what golden samples hold."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx.parser
import pytest
from ai_edge_litert.tools import flatbuffer_utils
from onnx import TensorProto, helper
from support.host_backend import HostBackend
from support.tflite_models import Builder

import edgedeploy.compile.backends.onnxruntime as onnxruntime_backend
from edgedeploy.compile.build import compile_model
from edgedeploy.compile.candidates import candidates
from edgedeploy.compile.golden import read_golden
from edgedeploy.foundation.errors import DatasetError, HostError, UnsupportedError
from edgedeploy.inference.litert import TfliteSession
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.model.inspect import inspect_model
from edgedeploy.targets.load import load_target

HERE = msgspec.structs.replace(load_target("x86-64"), backends=("onnxruntime",))
HEAD = '<ir_version: 9, opset_import: ["" : 19, "ai.onnx.ml" : 3]>'
ENCODER = f"""
    {HEAD} encoder (string[N, 1] city, float[N, 2] x) => (float[N, 2] y, string[N, 1] echo)
    {{
        k = ai.onnx.ml.LabelEncoder
            <keys_strings = ["Bern", "Oslo"], values_floats = [1.0, 2.0], default_float = -9.0> (city)
        y = Add(x, k)
        echo = Identity(city)
    }}
"""


def written(path: Path, text: str) -> Path:
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    return path


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(onnxruntime_backend, "BACKEND", HostBackend())
    return written(tmp_path / "encoder.onnx", ENCODER)


def test_golden_text_is_made_up_from_what_the_model_looks_for(encoder: Path, tmp_path: Path) -> None:
    bundle = compile_model(encoder, HERE, tmp_path / "b")
    samples = [read_golden(bundle.path / "golden", number) for number in range(bundle.manifest.golden_samples)]
    assert {sample.inputs["city"].item() for sample in samples} == {"Bern", "Oslo"}
    assert all(sample.outputs["echo"].tolist() == sample.inputs["city"].tolist() for sample in samples)
    again = compile_model(encoder, HERE, tmp_path / "again")
    assert again.sha256 == bundle.sha256


def test_golden_text_comes_out_of_columns(encoder: Path, tmp_path: Path) -> None:
    cities = np.array([["Bern"], ["Zürich"], [""]])
    np.savez(tmp_path / "d.npz", city=cities, x=np.zeros((3, 2), np.float32))
    bundle = compile_model(encoder, HERE, tmp_path / "b", golden=str(tmp_path / "d.npz"))
    found = [read_golden(bundle.path / "golden", number).outputs for number in range(3)]
    assert [each["echo"].item() for each in found] == ["Bern", "Zürich", ""]
    assert [float(each["y"][0, 0]) for each in found] == [1.0, -9.0, -9.0]


@pytest.mark.parametrize(("target", "backend"), [("x86-64", "native"), ("x86-64", "tflite"), ("rpi-zero", "auto")])
def test_backends_that_carry_no_text_say_so_before_anything_is_built(encoder: Path, target: str, backend: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        candidates(backend, load_target(target), "onnx", inspect_model(encoder))
    assert "it carries no text, and input 'city' is text" in str(caught.value)
    assert "in the application" in caught.value.hint
    assert ("--backend onnxruntime" in caught.value.hint) is (target == "x86-64")


def test_text_in_tensorflow_lite_is_refused_by_name(tmp_path: Path) -> None:
    made = Builder()
    city = made.input("city", [1, 2], "str")
    answer = made.tensor("answer", [2], "str")
    made.operator("RESHAPE", [city, made.constant("shape", np.array([2], np.int32))], answer)
    made.graph.outputs.append(answer)
    content = bytes(flatbuffer_utils.convert_object_to_bytearray(made.model))
    (tmp_path / "m.tflite").write_bytes(content)
    facts = inspect_model(tmp_path / "m.tflite")
    with pytest.raises(UnsupportedError, match="carries no text, and input 'city' is text") as caught:
        candidates("auto", load_target("x86-64"), "tflite", facts)
    assert "--backend" not in caught.value.hint
    with pytest.raises(UnsupportedError, match="input 'city' is text"):
        TfliteSession(content, exact=True).run({"city": np.array([["a", "b"]], object)})


def test_auto_leaves_out_those_that_carry_none(encoder: Path) -> None:
    found = candidates("auto", load_target("x86-64"), "onnx", inspect_model(encoder))
    assert {candidate.name for candidate in found} <= {"onnxruntime", "onnxruntime-c"}


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize("kind", ["BFLOAT16", "FLOAT8E4M3FN", "INT4", "UINT4", "FLOAT4E2M1", "COMPLEX64"])
def test_types_that_do_not_travel_are_refused_by_name(tmp_path: Path, kind: str, side: str) -> None:
    number = int(getattr(TensorProto, kind))
    taken, given = (number, TensorProto.FLOAT) if side == "input" else (TensorProto.FLOAT, number)
    value = helper.make_tensor_value_info
    node = helper.make_node("Cast", ["x"], ["y"], to=given)
    graph = helper.make_graph([node], "g", [value("x", taken, [1, 4])], [value("y", given, [1, 4])])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    with pytest.raises(UnsupportedError, match=f"^{side} '[xy]' is of type .*cannot be sent") as caught:
        compile_model(path, HERE, tmp_path / "b")
    assert "float32" in caught.value.hint
    assert not (tmp_path / "b").exists()


def with_strings(path: Path, *texts: bytes) -> Path:
    model = onnx.parser.parse_model(f"{HEAD} g (int64[1] i) => (string[1] t) {{ t = Gather(s, i) }}")
    model.graph.initializer.append(helper.make_tensor("s", TensorProto.STRING, [len(texts)], texts))
    onnx.save(model, path)
    return path


def test_answers_that_no_file_can_hold(encoder: Path, tmp_path: Path) -> None:
    text = """<ir_version: 9, opset_import: ["" : 20]> g (string[N] x) => (string[N, M] y, int64[N] n)
        { y, n = StringSplit <delimiter = "b"> (x) }"""
    np.savez(tmp_path / "d.npz", x=np.array(["a\0b"]))
    with pytest.raises(DatasetError, match="output 'y' to golden sample 0 cannot be kept") as caught:
        compile_model(written(tmp_path / "m.onnx", text), HERE, tmp_path / "b", golden=str(tmp_path / "d.npz"))
    assert "ends with a NUL" in caught.value.why


def test_answers_that_are_not_utf_8(tmp_path: Path) -> None:
    session = HostSession(with_strings(tmp_path / "m.onnx", b"\xff"), exact=True)
    with pytest.raises(UnsupportedError, match="not text in UTF-8"):
        session.run({"i": np.array([0])})


def test_a_locale_that_this_machine_has_not(tmp_path: Path) -> None:
    text = f"""{HEAD} g (string[N] x) => (string[M] y)
        {{ y = StringNormalizer <case_change_action = "LOWER", locale = "xx_YY.UTF-8"> (x) }}"""
    with pytest.raises(HostError, match=r"needs the locale xx_YY\.UTF-8, which this machine has not") as caught:
        compile_model(written(tmp_path / "m.onnx", text), HERE, tmp_path / "b")
    assert "echo 'xx_YY.UTF-8 UTF-8' >>/etc/locale.gen && locale-gen" in caught.value.hint


@pytest.mark.slow
@pytest.mark.keeps_cache
@pytest.mark.parametrize("backend", ["onnxruntime", "onnxruntime-c"])
def test_a_bundle_says_which_locale_it_needs(tmp_path: Path, backend: str) -> None:
    text = f"""{HEAD} g (string[N] x) => (string[M] y)
        {{ y = StringNormalizer <case_change_action = "LOWER", locale = "C.UTF-8"> (x) }}"""
    target = load_target("x86-64")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if target.os.python != python:
        pytest.skip(f"wheels for Python {target.os.python}")
    model = written(tmp_path / "m.onnx", text)
    bundle = compile_model(model, target, tmp_path / "b", backend=backend, input_shapes={"x": (3,)})
    assert bundle.manifest.needs.locales == ("C.UTF-8",)
