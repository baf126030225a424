"""Whether samples are still in the reference's order."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.metrics.rank_agreement import RankAgreement


def agreement_of(found, expected):
    kept = RankAgreement()
    for one, other in zip(found, expected, strict=True):
        kept.add([one[np.newaxis]], [other[np.newaxis]], 1)
    return kept.figure()


def test_numbers_as_in_a_worked_example():
    # Two neighbors of eight are exchanged: 1 - 6·2 / (8·63).
    expected = np.arange(8.0)[:, np.newaxis]
    found = expected[[1, 0, 2, 3, 4, 5, 6, 7]]
    assert agreement_of(found, expected) == pytest.approx(1 - 12 / 504)
    assert agreement_of(-expected, expected) == pytest.approx(-1.0)


def test_equals_share_their_rank():
    expected = np.array([1.0, 1, 2, 2, 3, 3, 4, 4])[:, np.newaxis]
    assert agreement_of(expected * 7, expected) == pytest.approx(1.0)


def test_embeddings_are_compared_by_who_lies_near_whom(rng):
    expected = rng.normal(0, 1, (40, 16))
    turned = expected @ np.linalg.qr(rng.normal(0, 1, (16, 16)))[0]
    assert agreement_of(turned, expected) == pytest.approx(1.0)
    assert agreement_of(expected + rng.normal(0, 0.05, expected.shape), expected) > 0.98
    assert abs(agreement_of(rng.normal(0, 1, expected.shape), expected)) < 0.3


def test_what_has_no_order(rng):
    expected = rng.normal(0, 1, (20, 4))
    assert agreement_of(expected[:5], expected[:5]) is None
    assert agreement_of(expected, np.ones_like(expected)) is None
    assert agreement_of(np.ones_like(expected), expected) == 0.0
