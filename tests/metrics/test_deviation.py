"""What of answers depends on the input: a constant has nothing of it, however close it is."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.metrics.agreement import AgreementAccumulator
from edgedeploy.metrics.deviation import Deviation, with_deviation


def agreement_of(found, expected):
    kept, deviation = AgreementAccumulator(), Deviation()
    kept.add([found], [expected])
    for sample in expected:
        deviation.add(sample[np.newaxis], 1)
    power = deviation.power()
    return with_deviation(kept.figure(), kept.error_squares, None if power is None else float(power))


def test_a_constant_is_close_and_has_nothing_of_what_depends_on_the_input(rng):
    expected = 10 + rng.normal(0, 1, (40, 8))
    found = np.repeat(expected.mean(axis=0, keepdims=True), 40, axis=0)
    agreement = agreement_of(found, expected)
    assert agreement.sqnr_db > 19
    assert agreement.deviation_sqnr_db == pytest.approx(0.0, abs=1e-6)
    assert agreement_of(expected + 0.1, expected).deviation_sqnr_db == pytest.approx(20.0, abs=1.0)


def test_of_samples_that_are_alike_nothing_is_known(rng):
    still = np.repeat(rng.normal(0, 1, (1, 50)), 20, axis=0) + rng.normal(0, 1e-3, (20, 50))
    assert agreement_of(still + 0.05, still).deviation_sqnr_db is None
    assert agreement_of(still, still).deviation_sqnr_db is None


def test_a_place_has_a_sum_of_its_own(rng):
    values = rng.normal(0, 1, (30, 3, 5))
    values[:, 1] = 7
    deviation = Deviation()
    deviation.add(values, 30)
    power = deviation.power(1)
    assert power.shape == (3,) and power[1] == pytest.approx(0) and power[0] > 1


@pytest.mark.parametrize("shapes", [((0, 6),), ((3, 6), (4, 6)), ((1, 6), (1, 7)), ((1, 5 * 2**20),)])
def test_extents_that_depend_on_values_or_are_too_large_have_none(shapes):
    deviation = Deviation()
    for shape in shapes:
        deviation.add(np.ones(shape), 3 if shape[0] > 1 else shape[0])
    assert deviation.power() is None
