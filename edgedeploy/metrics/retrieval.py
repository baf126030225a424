"""Metrics of embeddings.

- `recall@K`: share of the samples that have one of their own ID among the K nearest of the other samples, by cosine
  (Jégou et al. 2011, https://doi.org/10.1109/TPAMI.2010.57, section V.B). `mrr`: mean of 1 / rank of the first of their
  own (Voorhees 1999, TREC-8). Labels are IDs: samples with one ID belong together. Samples without another of their ID
  only stand among the others. Each sample is a query in turn; equal distances count against it.
- `spearman`: rank correlation of the cosine of pairs with their label, a number (Reimers and Gurevych 2019,
  https://arxiv.org/abs/1908.10084, section 4): of two outputs (batch, features) of two texts, or of one output that is
  the similarity (Spearman 1904, https://doi.org/10.2307/1412159; ranks of equals are their mean).

The embedding of each sample is kept (8 bytes for each feature), so that it can be compared with those
that follow. Resampled are the queries; what they are searched in stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.inference.session import Feed
from edgedeploy.metrics.metric import Metric, SampleMetric
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Labels

_MOST_KEPT = 4096
"""Features of an embedding."""
_ROWS = 512
"""Queries that are compared with all others at once."""


class _Ranked(SampleMetric):
    """Keeps of each sample its ID and its embedding, of length 1; `prepare` finds the rank of the first of its own."""

    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        ids = np.asarray(labels)
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise DatasetError(
                f"the metric {self.name} needs an ID for each sample, and found {ids.dtype} {ids.shape}",
                hint="save whole numbers as labels: samples with one number belong together",
            )
        vectors = _embeddings(self.name, outputs, len(ids))
        kept = np.empty((len(ids), vectors.shape[1] + 1), np.float64)
        kept[:, 0], kept[:, 1:] = ids, vectors
        return kept

    def prepare(self, statistics: np.ndarray) -> np.ndarray:
        return _ranks(statistics[:, 0].astype(np.int64), statistics[:, 1:])

    def value(self, prepared: np.ndarray, weights: np.ndarray) -> float:
        queries = weights * (prepared > 0)
        return float(queries @ self._gain(prepared) / queries.sum()) if queries.sum() else math.nan

    def scores(self, statistics: np.ndarray) -> np.ndarray | None:
        return self._gain(self.prepare(statistics))

    def _gain(self, ranks: np.ndarray) -> np.ndarray:
        if self.name == "mrr":
            reciprocal: np.ndarray = np.where(ranks > 0, 1.0 / np.maximum(ranks, 1), 0.0)
            return reciprocal
        most = int(self.name.partition("@")[2])
        found: np.ndarray = ((ranks > 0) & (ranks <= most)).astype(np.float64)
        return found


def _embeddings(name: str, outputs: Sequence[np.ndarray], samples: int) -> np.ndarray:
    for output in outputs:
        if output.dtype.kind == "f" and output.ndim >= 2 and output.shape[0] == samples:
            vectors = output.reshape(samples, -1).astype(np.float64)
            if vectors.shape[1] > _MOST_KEPT:
                raise DatasetError(f"an embedding of {vectors.shape[1]} features is too large for {name}")
            return unit_rows(vectors)
    shapes = ", ".join(f"{output.dtype} {output.shape}" for output in outputs)
    raise DatasetError(f"the metric {name} needs an output (batch, features)", why=f"the model's outputs: {shapes}")


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Return rows scaled to length 1; those of length 0 or with NaN stay 0: they are near to nothing."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    usable = np.isfinite(lengths) & (lengths > 0)
    scaled: np.ndarray = np.where(usable, vectors / np.where(usable, lengths, 1.0), 0.0)
    return scaled


def _ranks(ids: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return for each sample the rank of the nearest one of its ID among all others, from 1; 0 where it has none."""
    ranks = np.zeros(len(ids), np.int64)
    empty = ~vectors.any(axis=1)
    for begin in range(0, len(ids), _ROWS):
        rows = np.arange(begin, min(begin + _ROWS, len(ids)))
        near = vectors[rows] @ vectors.T
        same = ids[rows][:, np.newaxis] == ids
        same[rows - begin, rows] = False
        best = np.where(same, near, -np.inf).max(axis=1)
        others = ids[rows][:, np.newaxis] != ids
        closer = np.count_nonzero(others & (near >= best[:, np.newaxis]), axis=1)
        ranks[rows] = np.where(same.any(axis=1), closer + 1, 0)
    ranks[empty & (ranks > 0)] = len(ids)
    return ranks


class _Spearman(SampleMetric):
    """Keeps of each pair its similarity and its label."""

    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        wanted = np.asarray(labels)
        if wanted.dtype.kind not in "biuf" or wanted.size != len(wanted):
            raise DatasetError(
                f"the metric spearman needs a number for each sample, and found {wanted.dtype} {wanted.shape}"
            )
        return np.stack((_similarity(outputs, len(wanted)), wanted.reshape(-1).astype(np.float64)), axis=1)

    def prepare(self, statistics: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        return [_order(np.nan_to_num(column, nan=-np.inf)) for column in statistics.T]

    def value(self, prepared: list[tuple[np.ndarray, np.ndarray]], weights: np.ndarray) -> float:
        found, wanted = (_weighted_ranks(order, groups, weights) for order, groups in prepared)
        total = weights.sum()
        left, right = found - weights @ found / total, wanted - weights @ wanted / total
        spread = math.sqrt(float(weights @ (left * left)) * float(weights @ (right * right)))
        return float(weights @ (left * right)) / spread if spread else math.nan


def _similarity(outputs: Sequence[np.ndarray], samples: int) -> np.ndarray:
    floats = [each for each in outputs if each.dtype.kind == "f" and each.ndim and each.shape[0] == samples]
    if floats and floats[0].size == samples:
        return floats[0].reshape(-1).astype(np.float64)
    if len(floats) >= 2 and floats[0].size == floats[1].size:
        left, right = (unit_rows(each.reshape(samples, -1).astype(np.float64)) for each in floats[:2])
        found: np.ndarray = (left * right).sum(axis=1)
        return found
    shapes = ", ".join(f"{output.dtype} {output.shape}" for output in outputs)
    raise DatasetError(
        "the metric spearman needs an output with a number for each sample, or two embeddings of one size",
        why=f"the model's outputs: {shapes}",
    )


def _order(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of numbers, and for each place in it the number of its group of equals."""
    order = np.argsort(column, kind="stable")
    groups = np.concatenate(([0], np.cumsum(column[order][1:] != column[order][:-1])))
    return order, groups


def _weighted_ranks(order: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the rank that each number has where it stands as often as its weight says; of equals, their mean."""
    extents = np.bincount(groups, weights[order])
    means = np.cumsum(extents) - extents / 2 + 0.5
    ranks = np.empty(len(order))
    ranks[order] = means[groups]
    return ranks


def _make(name: str, head: Head | None, outputs: Sequence[str]) -> Metric:
    return _Spearman(name) if name == "spearman" else _Ranked(name)


BUILT_IN = dict.fromkeys(("recall@", "mrr", "spearman"), _make)
"""How each of the metrics of this module is made, by its name; `recall@` for any K."""
