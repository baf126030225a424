from __future__ import annotations

import logging
import os
import subprocess
import sys

import numpy as np
import onnx
import onnx.parser
import pytest

from edgedeploy.foundation.errors import DatasetError, InvalidFileError, UnsupportedError
from edgedeploy.inference.onnxruntime import HostSession, host_isa

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'


def model(text: str) -> bytes:
    return onnx.parser.parse_model(f"{HEAD} {text}").SerializeToString()


TWO = model(
    "g (float[N, 2] a, float[N, 2] b) => (float[N, 2] sum, float[N, 2] product) { sum = Add(a, b) product = Mul(a, b) }"
)


def test_outputs_come_in_the_models_order_and_types(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(TWO)
    a, b = np.array([[1, 2]], np.float32), np.array([[3, 4]], np.float32)
    for session in (HostSession(TWO, exact=True), HostSession(path, exact=False, threads=1)):
        assert (session.input_names, session.output_names) == (("a", "b"), ("sum", "product"))
        outputs = session.run({"b": b, "a": a})
        np.testing.assert_array_equal(outputs, [a + b, a * b])
        assert outputs[0].dtype == np.float32


def test_exact_is_the_float_arithmetic_of_each_pair():
    """x·w of the dequantized numbers, each product and sum in float: no integer kernel, nothing fused."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 64)).astype(np.float32) * 40
    q = rng.integers(-127, 128, (64, 8)).astype(np.int8)
    proto = onnx.parser.parse_model(f"""{HEAD} g (float[N, 64] x) => (float[N, 8] y)
        <float s = {{0.25}}, int8 z = {{0}}, int8[64, 8] q = {{{", ".join(map(str, q.ravel()))}}}> {{
        xq = QuantizeLinear(x, s, z)  xd = DequantizeLinear(xq, s, z)
        w = DequantizeLinear(q, s, z)  y = MatMul(xd, w) }}""")
    (output,) = HostSession(proto.SerializeToString(), exact=True).run({"x": x})
    dequantized = np.clip(np.rint(x / 0.25), -128, 127) * 0.25
    np.testing.assert_allclose(output, dequantized @ (q * 0.25), rtol=1e-5)


@pytest.mark.parametrize("content", [b"", b"hello", TWO[:30]])
def test_what_is_no_model_is_refused(tmp_path, content, capfd):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises((InvalidFileError, UnsupportedError)) as caught:
            HostSession(source, exact=True)
        assert caught.value.why
    assert capfd.readouterr().err == ""


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(InvalidFileError, match="cannot be loaded"):
        HostSession(tmp_path / "none.onnx", exact=True)


def test_a_model_that_onnxruntime_refuses_is_refused_in_its_words(capfd):
    no_such_operator = onnx.parser.parse_model(f"{HEAD} g (float[N] x) => (float[N] y) {{ y = Relu(x) }}")
    no_such_operator.graph.node[0].op_type = "Relx"
    with pytest.raises(UnsupportedError, match="onnxruntime does not load") as caught:
        HostSession(no_such_operator.SerializeToString(), exact=True)
    assert "Relx" in caught.value.why
    assert "ONNXRuntimeError" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "feed",
    [
        {"a": np.zeros((1, 2), np.float32)},
        {"a": np.zeros((1, 2), np.float32), "b": np.zeros((1, 2))},
        {"a": np.zeros((1, 2), np.float32), "b": np.zeros((1, 3), np.float32)},
        {"a": np.zeros((1, 2), np.float32), "c": np.zeros((1, 2), np.float32)},
    ],
)
def test_a_feed_that_does_not_fit_is_the_datasets_fault(feed):
    with pytest.raises(DatasetError, match="does not take this feed"):
        HostSession(TWO, exact=True).run(feed)


def test_a_model_that_fails_while_it_runs_says_with_what(capfd):
    session = HostSession(
        model("g (float[N, M] x) => (float[3, 2] y) <int64[2] s = {3, 2}> { y = Reshape(x, s) }"), exact=True
    )
    with pytest.raises(UnsupportedError, match="fails while it runs") as caught:
        session.run({"x": np.zeros((1, 5), np.float32)})
    assert "x (1, 5)" in caught.value.hint
    assert capfd.readouterr().err == ""


def test_a_type_without_kernels_is_refused_with_what_to_export():
    halves = model("g (bfloat16[N,2] x, bfloat16[2,N] w) => (bfloat16[N,N] y) { y = MatMul(x, w) }")
    with pytest.raises(UnsupportedError, match="onnxruntime does not load") as caught:
        HostSession(halves, exact=True)
    assert "float32" in caught.value.hint


def test_an_output_that_is_no_tensor_is_refused():
    session = HostSession(model("g (float[N] x) => (seq(float[N]) y) { y = SequenceConstruct(x) }"), exact=True)
    with pytest.raises(UnsupportedError, match="'y' is a list"):
        session.run({"x": np.zeros(2, np.float32)})


UNUSED = model("g (float[N] x) => (float[N] y) <float[2] dead = {1, 2}> { y = Relu(x) }")


def test_warnings_of_the_runtime_are_for_debugging_only(capfd):
    HostSession(UNUSED, exact=False)
    assert capfd.readouterr().err == ""
    log = logging.getLogger("edgedeploy.inference.onnxruntime")
    log.setLevel(logging.DEBUG)
    try:
        HostSession(UNUSED, exact=False)
        assert "dead" in capfd.readouterr().err
    finally:
        log.setLevel(logging.NOTSET)


def test_the_machines_features_are_named():
    assert host_isa().split()[0] in ("x86-64", "aarch64", "arm64")


def test_nothing_is_collected_for_the_runtimes_maker(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    script = (
        "import sys; from edgedeploy.inference.onnxruntime import HostSession; "
        "HostSession(bytes.fromhex(sys.argv[1]), exact=True)"
    )
    subprocess.run([sys.executable, "-c", script, TWO.hex()], env=environment, check=True)
    left = [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]
    assert left == []
