"""Conversion to TensorFlow Lite. Mostly, results made by hand stand for the converter; in the last test it is real."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from ai_edge_litert import schema_py_generated as schema
from msgspec import structs
from support.handed_over import hand_over
from support.tflite_models import Builder

from edgedeploy.compile.golden import write_golden
from edgedeploy.compile.onnx_to_tflite import answers, conversion, environment
from edgedeploy.compile.onnx_to_tflite.conversion import Converted, difference, quantized, to_tflite, tolerance_for
from edgedeploy.compile.onnx_to_tflite.edges import Edge, identity, layouts, with_edges
from edgedeploy.compile.onnx_to_tflite.pinned import input_name, output_name, pin
from edgedeploy.foundation.errors import HostError, UnsupportedError
from edgedeploy.foundation.progress import SILENT
from edgedeploy.inference.litert import TfliteSession
from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.tflite_file import read_tflite

DOUBLE = """
    <ir_version: 8, opset_import: ["" : 17]>
    double (float[N, 2, 3, 4] "the:x") => (float[N, 2, 3, 4] y) <float two = {2.0}> { y = Mul("the:x", two) }
"""


def onnx_bytes(text: str) -> bytes:
    return onnx.parser.parse_model(text.replace('"the:x"', "the_x")).SerializeToString()


# -- before the converter


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (DOUBLE, (3, 2, 3, 4)),
        # Before opset 13 over all axes from the given one on.
        (
            """<ir_version: 8, opset_import: ["" : 11]> g (float[N, 2, 3] the_x) => (float[N, 2, 3] y)
            { y = Softmax <axis = 1> (the_x) }""",
            (2, 2, 3),
        ),
        # An output that is used too, one that is an input, and shapes that are computed.
        (
            """<ir_version: 8, opset_import: ["" : 17]>
            g (float[N, 4] the_x, float[N, 4] z) => (float[M, K] y, float[N, 4] w, float[N, 4] v)
            { s = Shape(the_x) v = Identity(z) a = Add(the_x, z) w = Relu(a) y = Reshape(w, s) }""",
            (2, 4),
        ),
    ],
)
def test_a_pinned_model_answers_alike_and_says_every_shape(
    rng: np.random.Generator, text: str, shape: tuple[int, ...]
) -> None:
    content = onnx_bytes(text)
    before = HostSession(content, exact=True)
    feed = {name: rng.normal(size=shape).astype(np.float32) for name in before.input_names}
    pinned = pin(content, before.input_names, before.output_names, feed)
    after = HostSession(pinned, exact=True)
    assert after.input_names == tuple(input_name(index) for index in range(len(feed)))
    assert after.output_names == tuple(output_name(index) for index in range(len(before.output_names)))
    found = after.run({input_name(index): array for index, array in enumerate(feed.values())})
    for ours, theirs in zip(before.run(feed), found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    graph = onnx.load_model_from_string(pinned).graph
    assert all(node.op_type != "Shape" for node in graph.node)
    described = {value.name: value for value in (*graph.value_info, *graph.output, *graph.input)}
    for node in graph.node:
        for name in node.output:
            assert all(extent.dim_value > 0 for extent in described[name].type.tensor_type.shape.dim)


# -- behind it


def raw_double(*, dtype: str = "float32", factor: float = 2.0) -> bytes:
    """As a converter writes `DOUBLE`: channels last, and a second constant of the same bytes."""
    b = Builder()
    x = b.input(input_name(0), (1, 3, 4, 2), dtype)
    two = b.constant("two", np.full((1, 1, 1, 2), factor, dtype))
    one, also = b.tensor("one", (1, 3, 4, 2), dtype), b.constant("also", np.full((1, 1, 1, 2), factor, dtype))
    b.operator("MUL", [x, two], one, schema.MulOptionsT())
    b.operator("MUL", [one, also], b.tensor("unused", (1, 3, 4, 2), dtype), schema.MulOptionsT())
    y = b.operator("MUL", [x, two], b.tensor(output_name(0), (1, 3, 4, 2), dtype), schema.MulOptionsT())
    return b.finish(y)


def edge(name: str, dtype: str, permutation: Sequence[int]) -> Edge:
    return Edge(name=name, shape=(1, 2, 3, 4), dtype=dtype, permutation=tuple(permutation))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_layout_type_and_names_are_the_onnx_models(rng: np.random.Generator, dtype: str) -> None:
    inputs = {input_name(0): edge("the:x", dtype, (0, 2, 3, 1)), input_name(1): edge("forgotten", "int64", range(4))}
    fitted = with_edges(raw_double(), inputs, {output_name(0): edge("y", dtype, (0, 3, 1, 2))})
    session = TfliteSession(fitted, exact=False)
    assert (session.input_names, session.output_names) == (("the:x", "forgotten"), ("y",))
    x = rng.normal(size=(1, 2, 3, 4)).astype(dtype)
    (y,) = session.run({"the:x": x, "forgotten": np.zeros((1, 2, 3, 4), np.int64)})
    assert y.dtype == dtype
    np.testing.assert_allclose(y, 2 * x, rtol=1e-6)


def test_a_constant_is_stored_once() -> None:
    plain = edge("x", "float32", range(4))
    fitted = with_edges(raw_double(), {input_name(0): plain}, {output_name(0): plain})
    held = [buffer.data.tobytes() for buffer in read_tflite(fitted).buffers if buffer.data is not None]
    assert len(held) == len(set(held))


def test_an_output_that_is_an_input_is_copied() -> None:
    b = Builder()
    x = b.input(input_name(0), (1, 2))
    b.operator("RELU", [x], b.tensor(output_name(0), (1, 2)))
    plain = Edge(name="x", shape=(1, 2), dtype="float32", permutation=(0, 1))
    outputs = {output_name(0): structs.replace(plain, name="y"), input_name(0): structs.replace(plain, name="z")}
    fitted = with_edges(b.finish(1), {input_name(0): plain}, outputs)
    feed = np.array([[-1, 1]], np.float32)
    y, z = TfliteSession(fitted, exact=True).run({"x": feed})
    np.testing.assert_array_equal((y, z), ([[0, 1]], feed))


def test_layouts() -> None:
    assert layouts((1, 2, 3, 4), (1, 4, 2, 3)) == [(0, 3, 1, 2)]
    assert layouts((1, 2, 3, 4), (1, 3, 4, 2)) == [(0, 2, 3, 1)]
    assert layouts((2, 2, 2), (2, 2, 2))[0] == identity(3)
    assert layouts((1, 6), (6, 1)) == layouts((1, 6), (6,)) == []


# -- the judgement


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Lets `convert` give what the test says."""

    def give(content: bytes) -> None:
        def convert(model: Path, folder: Path, *_: object, **__: object) -> Path:
            folder.mkdir()
            (folder / "model_float32.tflite").write_bytes(content)
            return folder / "model_float32.tflite"

        monkeypatch.setattr(conversion, "convert", convert)

    return give


def converted(folder: Path, text: str, feeds: Sequence[np.ndarray]) -> Converted:
    (folder / "m.onnx").write_bytes(onnx_bytes(text))
    session = HostSession(folder / "m.onnx", exact=True)
    for index, feed in enumerate(feeds):
        (output,) = session.run({"the_x": feed})
        folder.joinpath("golden").mkdir(exist_ok=True)
        np.savez(folder / "golden" / f"{index:04}.npz", **{"input:the_x": feed, "output:y": output})
    return to_tflite(folder / "m.onnx", folder / "golden", len(feeds), SILENT)


def samples(rng: np.random.Generator, count: int, shape: tuple[int, ...] = (1, 2, 3, 4)) -> list[np.ndarray]:
    return [rng.normal(size=shape).astype(np.float32) for _ in range(count)]


@pytest.mark.slow
def test_what_answers_alike_is_taken_in_whatever_layout_it_came(
    rng: np.random.Generator, tmp_path: Path, converter
) -> None:
    converter(raw_double())
    found = converted(tmp_path, DOUBLE, samples(rng, 2))
    assert found.difference < 1e-6 and found.tolerance.what == "float32"
    session = TfliteSession(found.content, exact=True)
    assert (session.input_names, session.output_names) == (("the_x",), ("y",))


@pytest.mark.slow
def test_what_answers_something_else_is_refused_with_the_numbers(
    rng: np.random.Generator, tmp_path: Path, converter
) -> None:
    converter(raw_double(factor=2.02))
    with pytest.raises(UnsupportedError, match="answers something else") as caught:
        converted(tmp_path, DOUBLE, samples(rng, 2))
    assert "'y' of golden sample 0, plain, differs by 0.01 of its size; 0.001 is allowed for a float32 model" in caught.value.why  # fmt: skip  # noqa: E501


@pytest.mark.slow
def test_what_the_runtime_refuses_is_refused(rng: np.random.Generator, tmp_path: Path, converter) -> None:
    b = Builder()
    x = b.input(input_name(0), (1, 3, 4, 2))
    b.operator("RESHAPE", [x, b.constant("shape", np.array([5], np.int32))], b.tensor(output_name(0), (5,)))
    converter(b.finish(2))
    with pytest.raises(UnsupportedError, match="does not run"):
        converted(tmp_path, DOUBLE, samples(rng, 1))


def test_a_model_that_ends_the_runtime_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nkill -{signal.SIGSEGV.value} $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(UnsupportedError, match="ends the runtime") as caught:
        answers.ask(tmp_path / "m", tmp_path, 1, tmp_path / "o", limit_s=60)
    assert "SIGSEGV" in caught.value.why


def test_golden_samples_of_several_shapes_are_refused(rng: np.random.Generator, tmp_path: Path, converter) -> None:
    converter(raw_double())
    with pytest.raises(UnsupportedError, match="of one shape"):
        converted(tmp_path, DOUBLE, [*samples(rng, 1), *samples(rng, 1, (2, 2, 3, 4))])


def test_integers_for_real_numbers_are_refused_before_any_work(rng: np.random.Generator, tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[1, 4] the_x) => (float[1, 4] y)
        <float scale = {0.1}, int8 zero = {0}>
        { q = QuantizeLinear(the_x, scale, zero) y = DequantizeLinear(q, scale, zero) }"""
    with pytest.raises(UnsupportedError, match="not converted") as caught:
        converted(tmp_path, text, samples(rng, 1, (1, 4)))
    assert "QuantizeLinear" in caught.value.why and "optimize" in caught.value.hint
    assert quantized(["Conv", "DequantizeLinear"]) is None
    assert quantized(["MatMulInteger"]) and quantized(["QLinearConv"]) and quantized(["DynamicQuantizeLinear"])


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        (np.array([3.0, 4.0]), np.array([3.0, 4.0]), 0.0),
        (np.array([3.0, 4.5]), np.array([3.0, 4.0]), 0.1),
        (np.array([0.1]), np.array([0.0]), np.inf),
        (np.array([1.0, np.inf]), np.array([1.0, np.inf]), 0.0),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0]), np.inf),
        (np.array([1.0, -np.inf]), np.array([1.0, np.inf]), np.inf),
        (np.array([1, 2, 3, 5]), np.array([1, 2, 3, 4]), 0.25),
        (np.zeros((1, 2)), np.zeros(2), np.inf),
        (np.zeros(0), np.zeros(0), 0.0),
    ],
)
def test_difference(found: np.ndarray, wanted: np.ndarray, expected: float) -> None:
    assert difference(found, wanted) == pytest.approx(expected)


def test_half_precision_is_allowed_more() -> None:
    half = """<ir_version: 8, opset_import: ["" : 17]> g (float16[2] x) => (float16[2] y) <float16[2] w = {1, 2}>
        { y = Add(x, w) }"""
    assert tolerance_for(onnx.parser.parse_model(half)).relative > tolerance_for(onnx.parser.parse_model(DOUBLE.replace('"the:x"', "the_x"))).relative  # fmt: skip  # noqa: E501


# -- the converter's environment


def program(folder: Path, text: str) -> Path:
    path = folder / "onnx2tf"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_result_that_no_reader_takes_is_the_converter_s_and_no_damage(tmp_path, rng, converter) -> None:
    converter(b"\x1c\0\0\0TFL3" + bytes(64))
    with pytest.raises(UnsupportedError, match="onnx2tf writes no whole"):
        converted(tmp_path, DOUBLE, samples(rng, 1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo 'work  50%|###| 1/2 [00:01, 1.0it/s]'; echo 'NotImplementedError: no such operator'; exit 1", "no such"),
        ("exit 0", "exit status 0"),
        ("sleep 1000 & sleep 1000", "ended after 0.2 s"),
    ],
)
def test_a_converter_that_fails_or_stays_is_told(tmp_path, monkeypatch, text: str, words: str) -> None:
    monkeypatch.setattr(environment, "converter", lambda progress: program(tmp_path, text))
    with pytest.raises(UnsupportedError) as caught:
        environment.convert(tmp_path / "m.onnx", tmp_path / "made", ("x",), limit_s=0.2 if "sleep" in text else 60, progress=SILENT)  # fmt: skip  # noqa: E501
    assert words in caught.value.why


def test_without_a_python_for_it_that_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(environment, "interpreter", lambda: None)
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError) as caught:
        environment.converter(SILENT)
    assert "Python 3.12 or 3.13, which is not here" in caught.value.why
    assert "install Python 3.12" in caught.value.hint


def test_a_shim_that_runs_nothing_is_passed_over(tmp_path, monkeypatch) -> None:
    versions = tmp_path / "pyenv/versions/3.12.1/bin"
    versions.mkdir(parents=True)
    for path, text in ((tmp_path / "python3.12", "exit 127"), (tmp_path / "python3", "echo 3.9"), (versions / "python3", "echo 3.12")):  # fmt: skip  # noqa: E501
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert environment.interpreter() == str(versions / "python3")
    (versions / "python3").unlink()
    assert environment.interpreter() is None


# -- all of it


@pytest.mark.keeps_cache
def test_a_trained_model_is_converted(tmp_path: Path) -> None:
    """The demo's classifier: shapes that are computed, and pictures with channels first."""
    if environment.interpreter() is None:
        pytest.skip("onnx2tf needs Python 3.12 or 3.13, and this machine has none")
    folder = hand_over(tmp_path / "in").parent
    model, facts = folder / "model.onnx", inspect_model(folder / "model.onnx")
    kept = write_golden(
        HostSession(model, exact=True, threads=1), facts, tmp_path / "golden",
        data=str(folder / "calibration.npz"), samples=2, input_shapes={}, progress=SILENT,
    )  # fmt: skip
    found = to_tflite(model, tmp_path / "golden", kept.samples, SILENT)
    assert found.difference < 1e-4
    session = TfliteSession(found.content, exact=False)
    assert session.input_names == tuple(tensor.name for tensor in facts.inputs)
    assert session.output_names == tuple(tensor.name for tensor in facts.outputs)
    assert to_tflite(model, tmp_path / "golden", kept.samples, SILENT).content == found.content, (
        "same model, same bytes"
    )
