"""How good outputs are against labels. Larger is better; figures are means over samples, computed as they stream by.

Built in:

- `top1`, `top5`: share of samples whose label is among the 1 or 5 largest scores. The scores are the first output of
  floating type with shape (batch, …, classes), axes of length 1 in between dropped; labels are whole numbers in
  [0, classes), shape (batch,), or (batch, steps) when the scores are (batch, steps, classes): a sample then scores the
  share of its steps. Among equal scores the lower class comes first, as in `numpy.argmax`; scores with NaN are wrong.
  Labels that are text are held against the first output of text that has as many elements for each sample: `top1` only.
- `package.module:function`: called as `function(outputs, labels)` with the model's outputs (a list of arrays, in order)
  and the labels (first axis: the samples) of one batch. Returns the score of each sample, shape (samples,), finite.

Top-5 as in Russakovsky et al. 2015, https://arxiv.org/abs/1409.0575, section 4.1 (there as an error rate).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from edgedeploy.foundation.callables import is_object_name, load_callable
from edgedeploy.foundation.errors import DatasetError, UnknownNameError
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.inference.text import is_text
from edgedeploy.metrics.metric import Metric, Scorer


def metric_names() -> tuple[str, ...]:
    """List the metrics that edgedeploy has."""
    return tuple(BUILT_IN)


def find_metric(name: str) -> Metric:
    """Return the metric called `name`: one of `BUILT_IN`, or `"package.module:function"`.

    Raises:
        UnknownNameError: there is none of that name, or the function cannot be imported.
    """
    if name in BUILT_IN:
        return Metric(name, BUILT_IN[name])
    if is_object_name(name):
        return Metric(name, load_callable(name))
    raise UnknownNameError(
        f"there is no metric {name!r}",
        why=f"known: {', '.join(BUILT_IN)}, or a function of your own",
        hint=did_you_mean(name, BUILT_IN, "choose one of them, or name a function as package.module:function"),
    )


def answered_classes(outputs: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return the class that each vector of scores names, as `top1` takes them.

    Args:
        outputs: of the model for one batch, in its order; the scores are among them.
        labels: shape (batch,) or (batch, steps).

    Returns:
        Whole numbers in the shape of the labels; -1 where scores are NaN.

    Raises:
        DatasetError: the outputs hold no scores that the labels fit.
    """
    scores = _scores(1, list(outputs), labels)
    found: np.ndarray = np.where(np.isnan(scores).any(axis=-1), -1, scores.argmax(axis=-1))
    return found


def scored_output(outputs: Sequence[np.ndarray]) -> int | None:
    """Return the place of the output that the built-in metrics read, None where there is none: the others they do not
    look at.
    """
    return next((place for place, output in enumerate(outputs) if _holds_scores(output)), None)


def _holds_scores(output: np.ndarray) -> bool:
    return output.dtype.kind == "f" and output.ndim >= 2 and output.shape[-1] >= 2


def _top(outputs: list[np.ndarray], labels: np.ndarray, *, k: int) -> np.ndarray:
    """Return for each sample the share of its labels that are among the k largest scores: float64, shape (batch,)."""
    answered = _answered_text(outputs, labels) if k == 1 else None
    if answered is not None:
        same: np.ndarray = (answered == labels).reshape(len(labels), -1).mean(axis=1)
        return same
    scores = _scores(k, outputs, labels)
    classes = scores.shape[-1]
    if labels.dtype.kind not in "iu":
        raise DatasetError(
            f"labels have dtype {labels.dtype}, expected whole numbers (the index of the right class)",
            hint="number the classes in the model's order, and save those numbers as labels"
            if labels.dtype.kind in "USO"
            else "save labels.astype(numpy.int64)",
        )
    outside = labels[(labels < 0) | (labels >= classes)]
    if outside.size:
        raise DatasetError(
            f"a label is {outside[0]}, expected 0 to {classes - 1}",
            why=f"the model tells {classes} classes apart",
        )
    right = np.take_along_axis(scores, labels[..., np.newaxis].astype(np.int64), axis=-1)
    lower = np.arange(classes) < labels[..., np.newaxis]
    rank = np.count_nonzero((scores > right) | ((scores == right) & lower), axis=-1)
    hits = (rank < k) & ~np.isnan(scores).any(axis=-1)
    shares: np.ndarray = hits.reshape(len(labels), -1).mean(axis=1)
    return shares


def has_text_labels(labels: np.ndarray) -> bool:
    """Return whether labels are the texts of classes, and not their numbers."""
    return labels.dtype.kind in "UO"


def _answered_text(outputs: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray | None:
    """Return the output of text that labels of text are held against, in their shape; None where there is none."""
    if not has_text_labels(labels) or not labels.size:
        return None
    for output in outputs:
        if is_text(output) and output.ndim and output.shape[0] == len(labels) and output.size == labels.size:
            return output.reshape(labels.shape)
    return None


def _scores(k: int, outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return the output that holds scores, in the shape (*labels.shape, classes)."""
    for output in outputs:
        if _holds_scores(output):
            middle = tuple(axis for axis in range(1, output.ndim - 1) if output.shape[axis] == 1)
            scores = output if output.shape[:-1] == labels.shape else output.squeeze(axis=middle)
            if scores.shape[:-1] != labels.shape:
                raise DatasetError(
                    f"labels have shape {labels.shape}, the model's scores {output.shape}",
                    why=f"expected a label for each vector of scores: shape {output.shape[:-1]}",
                    hint=_reshaping(labels, output),
                )
            if scores.shape[-1] <= k > 1:
                raise DatasetError(
                    f"top{k} says nothing of {scores.shape[-1]} classes: it is always 1", hint="use top1"
                )
            return scores
    shapes = ", ".join(f"{output.dtype} {output.shape}" for output in outputs)
    raise DatasetError(
        f"top{k} needs an output of scores, shape (batch, classes) with at least two classes",
        why=f"the model's outputs: {shapes}",
        hint="name a function of your own as the metric: package.module:function",
    )


def _reshaping(labels: np.ndarray, scores: np.ndarray) -> str:
    """Return how to save labels whose form is a common one, but not the one that is taken; empty for others."""
    if labels.shape == scores.shape:
        return "one-hot labels, or probabilities: save labels.argmax(axis=-1)"
    if labels.shape == (*scores.shape[:-1], 1):
        return "a column of labels: save labels[..., 0]"
    return ""


BUILT_IN: dict[str, Scorer] = {"top1": functools.partial(_top, k=1), "top5": functools.partial(_top, k=5)}
"""Metrics that need no code of the user's, by name."""
