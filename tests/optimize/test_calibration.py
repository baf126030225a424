from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.dataset import open_dataset
from edgedeploy.errors import DatasetError
from edgedeploy.optimize.calibration import Range, calibrate
from edgedeploy.optimize.contract import Context, Refused
from edgedeploy.values.model import TensorFacts

INPUTS = (TensorFacts(name="x", dtype="float32", shape=("N", 2)),)
MODEL = """
    <ir_version: 8, opset_import: ["" : 13]>
    g (float[N,2] x) => (float[N,2] y) <float[2] k = {2.0, 2.0}> { a = Mul(x, k) b = Relu(a) y = Log(b) }"""


@pytest.fixture
def context(tmp_path):
    def make(rows):
        np.savez(tmp_path / "c.npz", x=np.array(rows, np.float32))
        return Context(calibration=open_dataset(str(tmp_path / "c.npz"), INPUTS))

    return make


def test_ranges_are_those_of_all_samples(build, context):
    seen = calibrate(build(MODEL), ["x", "a", "b"], context([[1, 2], [-3, 0.5], [4, 4]]))
    assert seen.ranges == {"x": Range(-3.0, 4.0), "a": Range(-6.0, 8.0), "b": Range(0.0, 8.0)}
    assert seen.samples == 3


def test_zero_is_in_every_range(build, context):
    seen = calibrate(build(MODEL), ["x"], context([[3, 4], [5, 6]]))
    assert seen.ranges["x"] == Range(0.0, 6.0)


def test_the_mean_of_extremes(build, context):
    seen = calibrate(build(MODEL), ["x"], context([[-1, 1], [-1, 1], [-1, 10]]), method="mean-min-max")
    assert seen.ranges["x"] == Range(-1.0, 4.0)


def test_a_limit_of_samples(build, context):
    seen = calibrate(build(MODEL), ["x"], context([[1, 2], [3, 4], [50, 60]]), limit=2)
    assert seen.ranges["x"] == Range(0.0, 4.0)
    assert seen.samples == 2


def test_values_that_are_not_finite_are_the_users_to_mend(build, context):
    # log(0) is -inf: no range holds it.
    with pytest.raises(DatasetError, match=r"sample 1 .* not finite") as caught:
        calibrate(build(MODEL), ["a", "y"], context([[1, 2], [0, 1]]))
    assert "'y'" in caught.value.why


def test_without_data_it_is_refused(build):
    with pytest.raises(Refused, match="calibration data"):
        calibrate(build(MODEL), ["x"], Context())
