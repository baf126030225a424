"""What a result is evaluated on, by which metric, and how far it may fall."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from edgedeploy.datasets.dataset import Dataset, Sample
from edgedeploy.datasets.sampling import spread
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.metrics.heads.decoder import Decoder
from edgedeploy.metrics.metric import Metric
from edgedeploy.stats.rounding import at_most
from edgedeploy.values.data import Task
from edgedeploy.values.drop import Drop
from edgedeploy.values.quality import MetricFigure

_ORDERED: tuple[Task, ...] = ("embedding", "series")


class Data(Struct, frozen=True, kw_only=True):
    """Samples that models are compared on."""

    name: str
    """For reasons, e.g. `"the evaluation data"`."""
    dataset: Dataset | None
    generated: tuple[Sample, ...] = ()
    """When there is no dataset."""

    @property
    def count(self) -> int | None:
        """How many feeds there are; None when only running the dataset tells."""
        return len(self.generated) if self.dataset is None else self.dataset.count

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the labels' numbers; empty where the data has none."""
        return self.dataset.class_names if self.dataset is not None else ()

    def samples(self) -> Iterator[Sample]:
        """Return all samples in order."""
        return iter(self.generated) if self.dataset is None else self.dataset.samples()

    def spread(self, wanted: int) -> Iterator[Sample]:
        """Return `wanted` samples at equal distances through the dataset; all where they were generated."""
        return iter(self.generated) if self.dataset is None else spread(self.dataset, wanted)


class Evaluation(Struct, frozen=True, kw_only=True):
    """How results of one source are compared with it."""

    data: Data
    metric: Metric | None
    """None when the data has no labels."""
    drop: Drop
    """How much worse the metric may get; just this much is allowed."""
    classifies: bool = False
    """Whether the user said that the model classifies, by naming a built-in metric: there are answers without labels
    too."""
    decoder: Decoder | None = None
    """The model's head, where one is declared: it says which channels of which outputs mean what."""
    tolerance: float | None = None
    """How far outputs may move relative to the largest, for a recipe that promises to keep results; None for one that
    does not."""
    progress: Progress = SILENT

    @property
    def max_drop(self) -> float:
        """Where there are no labels, the share of answers that may change, of outputs that hold class scores: the
        accuracy cannot have fallen by more."""
        return self.drop.amount

    @property
    def ranks(self) -> bool:
        """Whether what counts is the order of the samples, by the task of the data."""
        return self.data.dataset is not None and self.data.dataset.task in _ORDERED

    def allowed(self, before: MetricFigure) -> float:
        """Return how much worse the metric may get, in its own units.

        Args:
            before: that of the float model.
        """
        return self.drop.of(before.value)

    def is_kept(self, before: MetricFigure, after: MetricFigure) -> bool:
        """Return whether a metric got worse by no more than it may, rounding aside. NaN never did."""
        return at_most(after.worsening(before), self.allowed(before))


def within(before: float, after: float, max_drop: float) -> bool:
    """Return whether a metric fell from `before` to `after` by at most `max_drop`, rounding aside. NaN never did."""
    return at_most(before - after, max_drop)
