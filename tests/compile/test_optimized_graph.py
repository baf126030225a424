from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import edgedeploy.compile.optimized_graph as module
from edgedeploy.compile.optimized_graph import optimized_graph
from edgedeploy.datasets.npz import npz_bytes
from edgedeploy.foundation.files import write_bytes
from edgedeploy.inference.onnxruntime import HostSession

# A convolution, its batch normalization and its activation: three operators that become one.
CONVOLUTION = """
    <ir_version: 8, opset_import: ["" : 17]>
    conv (float[N, 2, 4, 4] x) => (float[N, 2, 4, 4] y)
    <float[2, 2, 1, 1] w = {1, 2, 3, 4}, float[2] b = {0, 1}, float[2] s = {1, 2}>
    { c = Conv(x, w, b) n = BatchNormalization(c, s, b, b, s) y = Relu(n) }
"""
# Signed activations in QDQ form.
QUANTIZED = """
    <ir_version: 8, opset_import: ["" : 17]>
    qdq (float[1, 2, 4, 4] x) => (float[1, 2, 4, 4] y)
    <int8[2, 2, 1, 1] w = {1, 2, 3, 4}, float scale = {0.1}, int8 zero = {0}>
    {
        q = QuantizeLinear(x, scale, zero) d = DequantizeLinear(q, scale, zero)
        e = DequantizeLinear(w, scale, zero)
        c = Conv(d, e)
        r = QuantizeLinear(c, scale, zero) y = DequantizeLinear(r, scale, zero)
    }
"""


def sample(folder: Path, **inputs: np.ndarray) -> Path:
    write_bytes(folder / "0000.npz", npz_bytes({f"input:{name}": array for name, array in inputs.items()}))
    return folder


def parsed(folder: Path, text: str) -> Path:
    (folder / "m.onnx").write_bytes(onnx.parser.parse_model(text).SerializeToString())
    return folder / "m.onnx"


def operators(content: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(content).graph.node]


PICTURE = np.linspace(-2, 2, 32, dtype=np.float32).reshape(1, 2, 4, 4)


@pytest.fixture
def no_matter_how_large(monkeypatch):
    monkeypatch.setattr(module, "GROWTH_LIMIT", 1000.0)


@pytest.mark.parametrize("architecture", ["aarch64", "x86_64"])
def test_operators_become_one_and_answers_stay(tmp_path, architecture, no_matter_how_large):
    model = parsed(tmp_path, CONVOLUTION)
    content, reason = optimized_graph(model, architecture, sample(tmp_path, x=PICTURE))
    assert (content is not None, reason) == (True, "")
    assert operators(content) == ["FusedConv"]
    feed = {"x": PICTURE}
    np.testing.assert_allclose(
        HostSession(content, exact=False).run(feed)[0], HostSession(model, exact=True).run(feed)[0], rtol=1e-5
    )


def test_the_same_model_gives_the_same_bytes(tmp_path, no_matter_how_large):
    model, golden = parsed(tmp_path, CONVOLUTION), sample(tmp_path, x=PICTURE)
    assert optimized_graph(model, "aarch64", golden) == optimized_graph(model, "aarch64", golden)


@pytest.mark.parametrize("architecture", ["aarch64", "x86_64"])
def test_quantized_values_stay_where_exact_arithmetic_finds_them(tmp_path, no_matter_how_large, architecture):
    content, _ = optimized_graph(parsed(tmp_path, QUANTIZED), architecture, sample(tmp_path, x=PICTURE))
    assert content is not None
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} == set(operators(content))
    # x86 multiplies unsigned by signed: onnxruntime would shift the activations, and that is no good on Arm.
    assert b"s8_to_u8" not in content or architecture == "x86_64"


@pytest.mark.parametrize(
    "text",
    [
        '<ir_version: 8, opset_import: ["" : 17]> g (float16[1, 2] x) => (float16[1, 2] y) { y = Relu(x) }',
        """<ir_version: 8, opset_import: ["" : 17]> g (float[1, 2] x) => (float[1, 2] y)
        { h = Cast<to = 10>(x) r = Relu(h) y = Cast<to = 1>(r) }""",
        """<ir_version: 8, opset_import: ["" : 17]> g (float[1, 2] x, bool c) => (float[1, 2] y)
        { y = If (c) <then_branch = t () => (float[1, 2] a) { h = Cast<to = 10>(x) a = Cast<to = 1>(h) },
                      else_branch = e () => (float[1, 2] b) { b = Identity(x) }> }""",
    ],
    ids=["an input", "a cast", "a cast in a branch"],
)
def test_half_precision_stays_as_it_is(tmp_path, text):
    content, reason = optimized_graph(parsed(tmp_path, text), "aarch64", sample(tmp_path, x=PICTURE))
    assert content is None
    assert "half precision" in reason


ONES = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("after", "same"),
    [
        (ONES, True),
        (ONES + np.float32(1e-6), True),
        (ONES + np.float32(1e-3), False),
        (ONES.astype(np.float64), False),
        (ONES[:3], False),
        (ONES * np.float32("nan"), False),
        ([ONES], False),
    ],
)
def test_what_gives_other_answers_is_not_taken(tmp_path, monkeypatch, no_matter_how_large, after, same):
    assert module.same_outputs([ONES], [after]) is same
    assert module.same_outputs([ONES], [after, after]) is False
    nan = np.array([1, np.nan], np.float32)
    assert module.same_outputs([nan, np.arange(3)], [nan, np.arange(3)])
    assert not module.same_outputs([np.arange(3)], [np.arange(1, 4)])
    monkeypatch.setattr(module, "same_outputs", lambda *_: same)
    _, reason = optimized_graph(parsed(tmp_path, CONVOLUTION), "aarch64", sample(tmp_path, x=PICTURE))
    assert reason == ("" if same else "the saved graph gives other outputs")


def test_what_grows_is_not_taken(tmp_path):
    """Weights that are stored small, and would be unfolded."""
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[1, 64] x) => (float[1, 64] y)
        <float one = {1}> { n = Constant<value_ints = [64, 64]>() w = Expand(one, n) y = MatMul(x, w) }"""
    content, reason = optimized_graph(
        parsed(tmp_path, text), "aarch64", sample(tmp_path, x=np.ones((1, 64), np.float32))
    )
    assert content is None
    assert "times as large" in reason


def test_what_onnxruntime_cannot_do_is_said(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    content, reason = optimized_graph(parsed(tmp_path, CONVOLUTION), "aarch64", sample(tmp_path, x=PICTURE))
    assert (content, reason) == (None, "onnxruntime does not read what it saved: no such kernel")
