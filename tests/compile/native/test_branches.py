"""`If`: the branch that the golden input takes is compiled, and an input that wants the other one gets an error."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from support.native_programs import run_exactly, run_natively

from edgedeploy.compile.native.branches import require_same_branches
from edgedeploy.compile.native.prepare import prepare
from edgedeploy.foundation.errors import UnsupportedError


def _model() -> onnx.ModelProto:
    # Both branches use the same names, one within the other; all see what lies outside.
    return onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["": 17]>
        graph (float[2,3] x, int64 rate) => (float[2,3] y) {
            fast = Constant <value_int=16000> ()
            wanted = Equal(rate, fast)
            zero = Constant <value_float=0.0> ()
            total = ReduceSum <keepdims=0> (x)
            positive = Greater(total, zero)
            between = If (wanted) <
                then_branch = one () => (float[2,3] inner) {
                    one = Add(x, x)
                    inner = If (positive) <
                        then_branch = three () => (float[2,3] deep) { twice = Mul(one, one) deep = Sub(twice, x) },
                        else_branch = four () => (float[2,3] deep) { twice = Neg(one) deep = Add(twice, x) }
                    >
                },
                else_branch = two () => (float[2,3] inner) { one = Mul(x, x) inner = Abs(one) }
            >
            y = Exp(between)
        }""")


def _feed(rate: int, sign: float) -> dict[str, np.ndarray]:
    x = np.abs(np.random.default_rng(3).standard_normal((2, 3))).astype(np.float32) * np.float32(sign)
    return {"x": x, "rate": np.array(rate)}


@pytest.mark.parametrize(("rate", "sign", "guards"), [(16000, 1, 2), (16000, -1, 2), (8000, 1, 1)])
def test_the_branch_that_is_taken_is_put_in_place(rate: int, sign: float, guards: int, tmp_path: Path) -> None:
    onnx.save(_model(), tmp_path / "model.onnx")
    graph = prepare(tmp_path / "model.onnx", _feed(rate, sign))
    assert "If" not in {node.op for node in graph.nodes}
    assert len(graph.guards) == guards
    assert [value.name for value in graph.outputs] == ["y"]


@pytest.mark.keeps_cache
def test_an_input_that_wants_another_branch_is_an_error(tmp_path: Path) -> None:
    model, feed = _model(), _feed(16000, 1)
    np.testing.assert_allclose(run_natively(model, feed, "x86-64", tmp_path)[0], run_exactly(model, feed)[0], rtol=1e-5)
    program = str(tmp_path / "program")
    for rate, sign, ends in ((16000, 1, 0), (8000, 1, 5), (16000, -1, 5)):
        other = _feed(rate, sign)
        given = other["x"].tobytes() + other["rate"].astype(np.int64).tobytes()
        assert subprocess.run([program], input=given, capture_output=True).returncode == ends, (rate, sign)


def test_inputs_that_take_both_branches_are_refused_before_anything_is_compiled(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(_model(), path)
    require_same_branches(path, [_feed(16000, 1), _feed(16000, 1)])
    require_same_branches(path, [_feed(8000, 1)])
    for others in ([_feed(8000, 1)], [_feed(16000, 1), _feed(16000, -1)]):
        with pytest.raises(UnsupportedError, match="golden samples take both") as caught:
            require_same_branches(path, [_feed(16000, 1), *others])
        assert f"for sample {len(others)}" in caught.value.why and "--golden" in caught.value.hint
