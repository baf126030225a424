"""A grid does not reach to where the activation function behind it makes nothing of a value."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.optimize.quantize.histogram import Range
from edgedeploy.optimize.quantize.useful_range import useful_range

GRAPH = """
    <ir_version: 8, opset_import: ["" : 17]>
    part (float[1, 4] x) => (float[1, 4] y) {{
        c = Add(x, x)
        {readers}
    }}"""
SEEN = Range(-88.0, 31.0)


def cut(build, readers, seen=SEEN):
    model = build(GRAPH.format(readers=readers))
    return useful_range(model.graph.node(0).outputs[0], seen)


def silu(x):
    return x / (1 + np.exp(-x))


def test_what_silu_makes_nothing_of_is_cut_off(build):
    low, high = (lambda found: (found.low, found.high))(cut(build, "s = Sigmoid(c) y = Mul(c, s)"))
    assert high == SEEN.high
    step = SEEN.high / 255
    assert -silu(low) == pytest.approx(step / 4) and low < -1.3
    # All further to the left is nearer to 0.
    assert (np.abs(silu(np.linspace(-88, low, 1000))) <= step / 4 * 1.001).all()


def test_hard_functions_are_cut_off_where_they_are_flat(build):
    assert cut(build, "y = HardSwish(c)") == Range(-3.0, 31.0)
    assert cut(build, "y = HardSigmoid <alpha = 0.25, beta = 0.5> (c)") == Range(-2.0, 2.0)
    assert cut(build, "y = HardSigmoid <alpha = 0.25, beta = 0.5> (c)", Range(-1.0, 0.5)) == Range(-1.0, 0.5)


def test_scores_before_a_sigmoid_are_cut_off_where_they_are_as_good_as_0_or_1(build):
    found = cut(build, "y = Sigmoid(c)")
    assert found.low == pytest.approx(-9.21, abs=0.01) and found.high == pytest.approx(9.21, abs=0.01)
    assert cut(build, "y = Sigmoid(c)", Range(-25.0, 2.0)).high == 2.0


@pytest.mark.parametrize(
    "readers",
    [
        "s = Sigmoid(c) p = Mul(c, s) y = Add(p, c)",
        "s = Sigmoid(c) t = Relu(s) y = Mul(c, t)",
        "s = Sigmoid(c) p = Mul(c, s) y = Add(p, s)",
        "s = Sigmoid(x) y = Mul(c, s)",
        "y = Tanh(c)",
    ],
    ids=["read by others", "not of the sigmoid", "the sigmoid is read", "another's sigmoid", "another function"],
)
def test_what_is_read_otherwise_keeps_its_range(build, readers):
    assert cut(build, readers) == SEEN
