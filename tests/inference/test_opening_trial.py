"""What onnxruntime would end the process over is refused, in words."""

from __future__ import annotations

import subprocess

import numpy as np
import onnx.parser
import pytest

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.inference import opening_trial
from edgedeploy.inference.onnxruntime import HostSession

X = np.array([[1, -2, 3, -4]], np.float32)


def _branches(read: str) -> bytes:
    """An If whose branches read a value on a grid: as it is (`d`), or as a Reshape gives it (`r`)."""
    return bytes(
        onnx.parser.parse_model(f"""
            <ir_version: 8, opset_import: ["" : 13]>
            g (float[1,4] x, bool c) => (float[N,M] y)
            <float s = {{1.0}}, uint8 z = {{8}}, int64[2] p = {{4, 1}}>
            {{
                q = QuantizeLinear(x, s, z)
                d = DequantizeLinear(q, s, z)
                r = Reshape(d, p)
                y = If(c) <
                    then_branch = t () => (float[N,M] a) {{ a = Relu({read}) }},
                    else_branch = e () => (float[N,M] b) {{ b = Neg({read}) }}
                >
            }}
        """).SerializeToString()
    )


def test_an_abort_is_a_refusal() -> None:
    with pytest.raises(UnsupportedError) as caught:
        HostSession(_branches("r"), exact=False)
    assert "SIGABRT" in caught.value.why and "keep_float" in caught.value.hint


def test_without_optimizations_no_process_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    outputs = HostSession(_branches("r"), exact=True).run({"x": X, "c": np.array(True)})
    np.testing.assert_array_equal(outputs[0], [[1], [0], [3], [0]])


def test_a_model_that_opens_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = {"x": X, "c": np.array(False)}
    np.testing.assert_array_equal(HostSession(_branches("d"), exact=False).run(feed)[0], -X)
    monkeypatch.setattr(subprocess, "run", None)
    np.testing.assert_array_equal(HostSession(_branches("d"), exact=False).run(feed)[0], -X)


def test_models_without_control_flow_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[1,4] x) => (float[1,4] y) { y = Neg(x) }'
    session = HostSession(onnx.parser.parse_model(text).SerializeToString(), exact=False)
    np.testing.assert_array_equal(session.run({"x": X})[0], -X)


def test_what_never_opens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening_trial, "_LIMIT_S", 0.001)
    monkeypatch.setattr(opening_trial, "_known", {})
    with pytest.raises(UnsupportedError, match="did not come to an end"):
        HostSession(_branches("d"), exact=False)
