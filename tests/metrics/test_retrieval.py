"""Metrics of embeddings, against a search written out and scipy's rank correlation."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.metrics.registry import find_metric


def ranks_written_out(vectors, ids):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    ranks = []
    for query in range(len(ids)):
        others = [place for place in range(len(ids)) if place != query]
        others.sort(key=lambda place: -(unit[query] @ unit[place]))
        own = [rank for rank, place in enumerate(others, start=1) if ids[place] == ids[query]]
        ranks.append(own[0] if own else 0)
    return np.array(ranks)


def test_ranks_are_those_of_a_search_written_out(rng):
    ids = np.concatenate((rng.integers(0, 8, 40), [99]))
    vectors = rng.normal(size=(41, 5)) + ids[:, np.newaxis] % 4
    ranks = ranks_written_out(vectors, ids)
    queries = ranks > 0
    expected = {"mrr": (1 / np.maximum(ranks, 1))} | {f"recall@{k}": ranks <= k for k in (1, 5, 10, 7)}
    for name, gains in expected.items():
        metric = find_metric(name).start()
        metric.add([vectors[:30]], ids[:30])
        metric.add([vectors[30:]], ids[30:])
        assert metric.figure().value == pytest.approx(gains[queries].mean())
        weights = rng.integers(0, 3, 41)
        assert metric.compute(weights) == pytest.approx(np.average(gains[queries], weights=weights[queries]))


def test_embeddings_that_are_all_the_same_find_nothing():
    metric = find_metric("recall@1").start()
    metric.add([np.ones((6, 4))], np.array([0, 0, 1, 1, 2, 2]))
    assert metric.figure().value == 0.0


def test_spearman_counts_equals_by_their_mean_rank(rng):
    # Spearman's rho is Pearson's of the ranks; ranks of a resampled set, by their definition.
    found, labels = rng.integers(0, 6, 30) / 2, rng.integers(0, 5, 30).astype(float)

    def ranks(column):
        return np.array([(column < each).sum() + ((column == each).sum() + 1) / 2 for each in column])

    metric = find_metric("spearman").start()
    metric.add([found[:, np.newaxis]], labels)
    assert metric.figure().value == pytest.approx(np.corrcoef(ranks(found), ranks(labels))[0, 1])
    weights = np.bincount(rng.integers(0, 30, 30), minlength=30)
    drawn = np.repeat(np.arange(30), weights)
    assert metric.compute(weights) == pytest.approx(np.corrcoef(ranks(found[drawn]), ranks(labels[drawn]))[0, 1])


def test_spearman_of_two_embeddings(rng):
    left, right = rng.normal(size=(2, 20, 4))
    similar = (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
    metric = find_metric("spearman").start()
    metric.add([left, right], similar)
    assert metric.figure().value == pytest.approx(1.0)


def test_labels_that_do_not_fit_are_said():
    with pytest.raises(DatasetError, match="needs an ID for each sample"):
        find_metric("mrr").start().add([np.ones((2, 3))], np.ones(2))
    with pytest.raises(DatasetError, match="a number for each sample"):
        find_metric("spearman").start().add([np.ones((2, 1))], ("a", "b"))
