"""Models that answer otherwise each time are refused before anything is made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgedeploy import api
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.inference.repeatable import refuse_random
from edgedeploy.inference.session import open_session

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
DROPOUT = "r = Constant<value = float {0.5}>() t = Constant<value_ints = [1]>() b = Cast<to = 9>(t) s = Squeeze(b)"
RANDOM = {
    "noise": ("n = RandomNormalLike(x) y = Add(x, n)", "random numbers (RandomNormalLike)"),
    "drawn": ("z = Sub(x, x) p = Sigmoid(z) y = Bernoulli(p)", "random numbers (Bernoulli)"),
    "training": (f"{DROPOUT} y = Dropout(x, r, s)", "training mode"),
    "seeded": ("n = RandomUniformLike<seed = 1.0>(x) y = Add(x, n)", "random numbers (RandomUniformLike)"),
}
STEADY = {
    "inference": "y = Dropout(x)",
    "not finite": "n = Neg(x) y = Log(n)",
    "zeros": "y = Sub(x, x)",
    "whole numbers": "i = Cast<to = 7>(x) y = Cast<to = 1>(i)",
    "noise that changes nothing": "n = RandomNormalLike<scale = 0.000000001>(x) y = Add(x, n)",
}


def content(body: str) -> bytes:
    return onnx.parser.parse_model(f"{HEAD} g (float[4, 16] x) => (float[4, 16] y) {{ {body} }}").SerializeToString()


def check(body: str) -> None:
    session = open_session(content(body), "onnx", exact=True)
    feed = {"x": np.arange(64, dtype=np.float32).reshape(4, 16) - 20}
    refuse_random(
        session, feed, session.run(feed), [node.op_type for node in onnx.load_from_string(content(body)).graph.node]
    )


@pytest.mark.parametrize("name", RANDOM)
def test_what_draws_random_numbers_is_named(name):
    body, words = RANDOM[name]
    with pytest.raises(UnsupportedError, match="does not answer the same twice") as caught:
        check(body)
    assert words in caught.value.why
    assert "model.eval()" in caught.value.hint


@pytest.mark.parametrize("name", STEADY)
def test_what_answers_the_same_is_taken(name):
    check(STEADY[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["noise", "training"])
def test_nothing_is_made_of_it(tmp_path: Path, name: str) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(content(RANDOM[name][0]))
    with pytest.raises(UnsupportedError, match="does not answer the same twice"):
        api.optimize(model, api.load_recipe("fold"), tmp_path / "small.onnx")
    with pytest.raises(UnsupportedError, match="does not answer the same twice"):
        api.compile(model, api.load_target("x86-64"), tmp_path / "bundle", backend="onnxruntime")
    assert not (tmp_path / "bundle").exists()
