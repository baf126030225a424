"""How good outputs are: against labels (a metric) and against a reference's outputs (agreement)."""

from __future__ import annotations

from msgspec import Struct

SQNR_FLOOR_DB = -300.0
"""Stands for minus infinity (noise without signal, or an output that is not finite), which JSON cannot hold."""


class MetricFigure(Struct, frozen=True, kw_only=True):
    """A metric over a labelled dataset."""

    name: str
    value: float
    """In [0, 1] for those that are shares (`edgedeploy.values.metric_facts`)."""
    samples: int
    larger_is_better: bool = True
    """False of errors: RMSE, word error rate. True in files of earlier versions, which had no others."""

    def worsening(self, before: MetricFigure) -> float:
        """Return how much worse this figure is than `before`, in its own units; under 0 where it is better."""
        fall = before.value - self.value
        return fall if self.larger_is_better else 0.0 - fall


class MetricTrust(Struct, frozen=True, kw_only=True):
    """How far a metric can be trusted: what it makes of the float model's own answers, ruined on purpose."""

    name: str
    samples: int
    """Of the evaluation data, drawn evenly, that it was tried on."""
    value: float
    """Of the float model, over these samples."""
    constant: float | None
    """Of a model that answers every sample with the mean of the answers; None where it has no value."""
    shuffled: float | None
    """Of the float model with the labels of other samples, the best of some tries; None where it has no value."""
    blind_to: tuple[str, ...] = ()
    """Outputs and groups of channels that may be exchanged between samples, replaced by their mean and drowned in noise
    without moving the metric by more than it may fall; they are judged by their noise alone."""
    doubts: tuple[str, ...] = ()
    """Why the metric, or the labels, look wrong; one sentence each."""


class MetricChange(Struct, frozen=True, kw_only=True):
    """A metric of a result minus that of the float model, over the same samples."""

    value: float
    low: float
    high: float
    """Bounds of the confidence interval: that of a larger number of such samples lies in it, with `confidence`."""
    confidence: float
    """In (0, 1)."""
    samples: int
    samples_changed: int
    """Whose scores differ. With none, no loss was detected, which is not the same as no loss: `low` is below zero."""
    larger_is_better: bool = True
    """As the metric's figure has it."""

    @property
    def loss(self) -> float:
        """How much worse the metric got; under 0 where it got better."""
        return 0.0 - self.value if self.larger_is_better else self.value

    @property
    def most_loss(self) -> float:
        """The bound of the interval on the worse side."""
        return 0.0 - self.low if self.larger_is_better else self.high

    @property
    def least_loss(self) -> float:
        """The bound of the interval on the better side."""
        return 0.0 - self.high if self.larger_is_better else self.low


class ClassFigure(Struct, frozen=True, kw_only=True):
    """How the labels of one class were answered, by a reference and by what is compared with it."""

    label: int
    samples: int
    """Labels that name it: one for each sample, or for each of its steps."""
    reference_right: int
    """Of those, what the reference answers rightly."""
    right: int
    same: int
    """Answers that are the reference's, right or wrong."""
    name: str = ""
    """As the data has it; empty where it has none."""


class Confusion(Struct, frozen=True, kw_only=True):
    """How often labels of each class got each answer."""

    classes: tuple[int, ...]
    """In ascending order, at most twelve: all that occur, or those in most wrong answers."""
    counts: tuple[tuple[int, ...], ...]
    """A row for each class that labels name, a column for each class that is answered, in the order of `classes`. With
    `others`, a last row and a last column for all other classes together, and for answers that are none (NaN)."""
    others: bool
    names: tuple[str, ...] = ()
    """Of `classes`, as the data has them; empty where it has none."""


class ByClass(Struct, frozen=True, kw_only=True):
    """Top-1 accuracy by class."""

    count: int
    """Classes that some label names."""
    worst: tuple[ClassFigure, ...]
    """At most ten: those that lost most answers first, then those with most answers changed, then the least right."""
    confusion: Confusion | None = None
    """Of the result, not of the reference; None in files of earlier versions, and where there are thousands of
    classes."""


class AnswersKept(Struct, frozen=True, kw_only=True):
    """How much of what a reference answers, read through the model's head, something else answers too."""

    what: str
    """`"detections"`, `"pixels"` or `"characters"`."""
    count: int
    """Of the reference."""
    kept: int
    added: int = 0
    """What the reference does not have."""
    score_min: float | None = None
    """Of detections that count; None of what has no score."""

    @property
    def share(self) -> float:
        """Of all that either answers, in [0, 1]."""
        return self.kept / (self.count + self.added) if self.count + self.added else 1.0


class Broken(Struct, frozen=True, kw_only=True):
    """Samples that are answered worse than by the reference, as the metric sees one sample; with top-1, those that were
    right and are wrong."""

    count: int
    first: tuple[int, ...]
    """Places in the dataset, from 0, of the first 20."""


class Agreement(Struct, frozen=True, kw_only=True):
    """Outputs against a reference's outputs for the same inputs. Over all outputs of the model together."""

    samples: int
    top1_match: float | None
    """Share of samples with the same answer, the place of the largest element, over the outputs that hold class scores
    because the task says so (labels, a metric that was named) or each sample's elements are a distribution; None when
    there is no such output. The shape alone does not tell."""
    max_abs_error: float
    mean_abs_error: float
    cosine: float
    """Cosine of the angle between all outputs and all reference outputs, in [-1, 1]."""
    sqnr_db: float | None
    """Signal to quantization noise ratio, 10·log10(Σ reference² / Σ error²); None when the error is exactly zero."""
    nonfinite_elements: int = 0
    """Elements that differ and are NaN or infinite, or as good as infinite (1e140 and beyond), on either side: left out
    of the errors. When there are any, cosine is 0 and sqnr_db is -300, which stands for minus infinity."""
    other_shapes: int = 0
    """Samples to which some output has another shape than the reference's, where that depends on values (the number of
    boxes that are left, the length of a text): no answer matches there, and no element is compared."""
    deviation_sqnr_db: float | None = None
    """As `sqnr_db`, with what of the reference depends on the input in place of all of it: Σ (reference - its mean over
    samples, element by element)² / Σ error². A constant has 0. None without an error, over several
    outputs together, and where samples are too few or too much alike to tell."""
    drift_share: float | None = None
    """Of the error's power, what is one shift of a channel for all samples and places, in [0, 1]: of noise a little, of
    boxes that all lie too far to the right all. Of groups of channels only; None without an error too."""
    text_match: float | None = None
    """Share of the texts in outputs of text that are the same, in [0, 1]; where shapes differ none is. None when no
    output is text. The errors, cosine and sqnr_db are over the numbers alone: over none, they are those of no error."""

    @property
    def answers_match(self) -> float | None:
        """Share of the answers that are the same, the lower of top-1 and text; None when outputs are neither."""
        return min((each for each in (self.top1_match, self.text_match) if each is not None), default=None)
