"""What cannot be compiled is refused with the operator and the node by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from edgedeploy.compile.native.prepare import prepare
from edgedeploy.compile.native.program import write_program
from edgedeploy.foundation.errors import UnsupportedError


def _refusal(text: str, feed: dict[str, np.ndarray], folder: Path) -> UnsupportedError:
    path = folder / "model.onnx"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> graph {text}')
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


def test_an_operator_that_nobody_has_a_kernel_for(tmp_path: Path) -> None:
    error = _refusal(
        "(float[3,1,2] x) => (float[3,1,1,2] y) { w = Constant <value = float[1,8,2] "
        "{1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}> () y = LSTM <hidden_size=2, clip=3.0> (x, w, w) }",
        {"x": np.ones((3, 1, 2), np.float32)},
        tmp_path,
    )
    assert "LSTM" in error.what and "node1" in error.what
