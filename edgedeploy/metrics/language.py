"""Metrics of language models.

- `perplexity`: exp of the mean over tokens of −log p(token) (Jurafsky and Martin, Speech and Language Processing, 3rd
  edition, section 3.3). Smaller is better.

The output is the first of floating type with shape (batch, steps, tokens): logits, of which softmax makes p. Labels are
the token that is right at each step, (batch, steps): the one that follows; those under 0 (-100 is usual) do not count.
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

_MOST = 100.0
"""Of −log p: of a token that a model thinks impossible, or of scores that are no numbers."""


class _Perplexity(SampleMetric):
    """Keeps of each sample Σ −log p and its tokens."""

    def statistics(self, outputs: list[np.ndarray], labels: Labels, feed: Feed | None) -> np.ndarray:
        wanted = np.asarray(labels)
        logits = next((each for each in outputs if each.dtype.kind == "f" and each.ndim == 3), None)
        if logits is None or wanted.dtype.kind not in "iu" or logits.shape[:2] != wanted.shape:
            shapes = ", ".join(f"{output.dtype} {output.shape}" for output in outputs)
            raise DatasetError(
                "the metric perplexity needs logits (batch, steps, tokens) and labels (batch, steps), and found labels "
                f"{wanted.dtype} {wanted.shape}",
                why=f"the model's outputs: {shapes}",
                hint="save as labels the token that follows at each step, and -100 where none is to be counted",
            )
        if wanted.max(initial=0) >= logits.shape[2]:
            raise DatasetError(
                f"a label is {wanted.max()}, expected 0 to {logits.shape[2] - 1}, or under 0 for what is not counted"
            )
        rows = [_of_sample(each, label) for each, label in zip(logits, wanted, strict=True)]
        return np.array(rows, np.float64).reshape(len(wanted), 2)

    def value(self, prepared: np.ndarray, weights: np.ndarray) -> float:
        tokens = float(weights @ prepared[:, 1])
        return math.exp(float(weights @ prepared[:, 0]) / tokens) if tokens else math.nan

    def scores(self, statistics: np.ndarray) -> np.ndarray | None:
        """Return the mean of log p of each sample."""
        means: np.ndarray = -statistics[:, 0] / np.maximum(statistics[:, 1], 1.0)
        return means


def _of_sample(logits: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
    counted = labels >= 0
    rows, right = logits[counted].astype(np.float64), labels[counted].astype(np.int64)
    if not right.size:
        return 0.0, 0
    with np.errstate(invalid="ignore", over="ignore"):
        largest = rows.max(axis=1)
        sums = np.log(np.exp(rows - largest[:, np.newaxis]).sum(axis=1)) + largest
        surprise = sums - rows[np.arange(len(rows)), right]
    limited = np.where(np.isnan(surprise), _MOST, np.minimum(surprise, _MOST))
    return float(limited.sum()), int(right.size)


def _make(name: str, head: Head | None, outputs: Sequence[str]) -> Metric:
    return _Perplexity(name)


BUILT_IN = {"perplexity": _make}
"""How each of the metrics of this module is made, by its name."""
