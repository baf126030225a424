"""What cannot be compiled is refused with the operator and the node by name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from edgedeploy.compile.native.prepare import prepare
from edgedeploy.compile.native.program import write_program
from edgedeploy.foundation.errors import UnsupportedError


def _refusal(text: str, feed: dict[str, np.ndarray], folder: Path, opset: int = 17) -> UnsupportedError:
    path = folder / "model.onnx"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}]> graph {text}')
    for number, node in enumerate(model.graph.node):
        node.name = f"node{number}"
    onnx.save(model, path)
    with pytest.raises(UnsupportedError) as caught:
        write_program(prepare(path, feed))
    return caught.value


def test_how_much_comes_out_hangs_on_the_data(tmp_path: Path) -> None:
    error = _refusal("(float[4] x) => (int64[1,N] y) { y = NonZero(x) }", {"x": np.ones(4, np.float32)}, tmp_path)
    assert "NonZero" in error.what and "node0" in error.what and "data" in error.why


def test_shapes_that_the_model_computes(tmp_path: Path) -> None:
    error = _refusal(
        "(float[4] x, int64[2] s) => (float[M,N] y) { y = Reshape(x, s) z = Slice(y, s, s) }",
        {"x": np.ones(4, np.float32), "s": np.array([2, 2])},
        tmp_path,
    )
    assert "Reshape" in error.what and "'s'" in error.why


def test_a_subgraph(tmp_path: Path) -> None:
    error = _refusal(
        "(int64 n, float[4] x) => (float[4] y) { y = Loop(n, , x) <body = b (int64 i, bool c, float[4] p) => "
        "(bool d, float[4] q) { d = Identity(c) q = Relu(p) }> }",
        {"n": np.array(3), "x": np.ones(4, np.float32)},
        tmp_path,
    )
    assert "Loop" in error.what


@pytest.mark.slow
def test_an_operator_that_nobody_has_a_kernel_for(tmp_path: Path) -> None:
    error = _refusal(
        "(float[3,1,2] x) => (float[3,1,1,2] y) { w = Constant <value = float[1,8,2] "
        "{1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}> () y = LSTM <hidden_size=2, clip=3.0> (x, w, w) }",
        {"x": np.ones((3, 1, 2), np.float32)},
        tmp_path,
    )
    assert "LSTM" in error.what and "node1" in error.what


@pytest.mark.parametrize("kind", ["INT4", "UINT4", "FLOAT8E4M3FN", "BFLOAT16"])
def test_values_of_types_that_c_does_not_have(kind: str, tmp_path: Path) -> None:
    number = getattr(onnx.TensorProto, kind)
    text = f"(float[4] x) => (float[4] y) {{ few = Cast<to={number}>(x) y = Cast<to=1>(few) }}"
    error = _refusal(text, {"x": np.ones(4, np.float32)}, tmp_path, opset=21)
    assert "'few'" in error.what and f"its type is {kind.lower()}" in error.why


@pytest.mark.slow
def test_constants_that_the_generator_is_given_have_names_of_their_own(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]> graph (float[4,3] x) => (float[4,3] y, float[4,3] z)
        <int64 i = {0}, int64 j = {1}> { y = CumSum(x, i) z = CumSum(x, j) }"""
    )
    onnx.save(model, tmp_path / "model.onnx")
    files = write_program(prepare(tmp_path / "model.onnx", {"x": np.ones((4, 3), np.float32)})).files
    written = [re.findall(r"^extern .*?(\w+)(?:\[\d+\])*;", files[f"node_{n}.c"].decode(), re.M) for n in (0, 1)]
    assert written[0] and written[1] and not set(written[0]) & set(written[1])
