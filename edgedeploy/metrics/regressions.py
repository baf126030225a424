"""What breaks between a reference and what is compared with it: which samples, and which classes they are of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import structs

from edgedeploy.metrics.classification import answered_classes, has_text_labels
from edgedeploy.metrics.confusion import ConfusionAccumulator
from edgedeploy.stats.rounding import ROUNDING
from edgedeploy.values.quality import Broken, ByClass, ClassFigure

_MOST_CLASSES = 10
_MOST_SAMPLES = 20


def broken(reference_scores: np.ndarray | None, scores: np.ndarray | None) -> Broken | None:
    """Return the samples whose score fell, by more than rounding: a user's own scores may be any numbers.

    Args:
        reference_scores, scores: of the same samples in the same order, float64, shape (samples,), larger is better;
            None of a metric that has no view of one sample, and then nothing is returned.
    """
    if reference_scores is None or scores is None:
        return None
    places = np.flatnonzero(scores < reference_scores - ROUNDING)
    return Broken(count=int(places.size), first=tuple(places[:_MOST_SAMPLES].tolist()))


def with_class_names(classes: ByClass | None, names: Sequence[str]) -> ByClass | None:
    """Return figures by class with the names of the classes.

    Args:
        names: in the order of the classes' numbers; empty where there are none.
    """
    if classes is None or not names:
        return classes

    def name(label: int) -> str:
        return names[label] if label < len(names) else ""

    confusion = classes.confusion
    if confusion is not None:
        confusion = structs.replace(confusion, names=tuple(name(label) or str(label) for label in confusion.classes))
    worst = tuple(structs.replace(figure, name=name(figure.label)) for figure in classes.worst)
    return structs.replace(classes, worst=worst, confusion=confusion)


class ClassAccumulator:
    """Counts for each class, of the samples seen so far: memory grows with the classes only."""

    def __init__(self) -> None:
        self._counts = np.zeros((4, 0), np.int64)
        self._confusion = ConfusionAccumulator()

    def add(self, outputs: Sequence[np.ndarray], reference_outputs: Sequence[np.ndarray], labels: np.ndarray) -> None:
        """Add one batch that the metric `top1` takes. Of labels of text, nothing is counted: they have no numbers.

        Args:
            labels: classes that the outputs have, as `top1` checks; shape (samples,) or (samples, steps).

        Raises:
            DatasetError: the labels do not fit the outputs.
        """
        if has_text_labels(labels):
            return
        found, expected = answered_classes(outputs, labels), answered_classes(reference_outputs, labels)
        if labels.size == 0:
            return
        chosen = (np.ones(labels.shape, bool), expected == labels, found == labels, (found == expected) & (found >= 0))
        classes = max(self._counts.shape[1], int(labels.max()) + 1)
        counts = np.stack([np.bincount(labels[each].astype(np.int64), minlength=classes) for each in chosen])
        counts[:, : self._counts.shape[1]] += self._counts
        self._counts = counts
        self._confusion.add(labels, found)

    def figure(self) -> ByClass:
        """Return the classes that some label named so far, the worst of them in full."""
        present = np.flatnonzero(self._counts[0])
        samples, reference_right, right, same = self._counts[:, present]
        # The last key comes first.
        order = np.lexsort((present, right / np.maximum(samples, 1), same - samples, right - reference_right))
        return ByClass(
            count=int(present.size),
            worst=tuple(
                ClassFigure(
                    label=int(present[place]),
                    samples=int(samples[place]),
                    reference_right=int(reference_right[place]),
                    right=int(right[place]),
                    same=int(same[place]),
                )
                for place in order[:_MOST_CLASSES]
            ),
            confusion=self._confusion.figure(),
        )
