"""What the model says of its data: whether it answers better with colors or numbers of classes changed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from msgspec import structs

from edgedeploy.datasets.base import Dataset
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.datasets.sampling import spread
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.inference.formats import format_of
from edgedeploy.inference.session import Session, open_session
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.metrics.metric import Metric
from edgedeploy.metrics.registry import chosen_metric
from edgedeploy.values.data import DataSource
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Labels
from edgedeploy.values.metric_facts import is_share_metric
from edgedeploy.values.model import Dimension, ModelFacts
from edgedeploy.values.preprocessing import ImagePreprocessing
from edgedeploy.values.quality import MetricFigure

TRIED_SAMPLES = 64
_LEAST_GAIN = 0.1
"""Of a metric in [0, 1]. What chance gives over 64 samples, 2·√(0.25 / 64) = 0.125 at most, has to be met too."""
_DEVIATIONS = 2.0


def open_model(model: Path) -> Session:
    """Load a model as it is, in exact arithmetic.

    Raises:
        InvalidFileError, UnsupportedError, HostError: as `open_session`.
    """
    content = read_file(model, MODEL)
    return open_session(content, format_of(content[:8]), exact=True)


def score(
    session: Session,
    dataset: Dataset,
    metric: Metric,
    *,
    samples: int = TRIED_SAMPLES,
    changed: Callable[[Labels], Labels] = lambda labels: labels,
) -> MetricFigure:
    """Return the metric over some samples of a dataset.

    Args:
        changed: what is done to the labels.

    Raises:
        EdgedeployError: the model does not run, or the metric cannot be computed.
    """
    tally = metric.start()
    for sample in spread(dataset, samples):
        labels = None if sample.labels is None else changed(sample.labels)
        tally.add(session.run(sample.feed), labels, sample.feed)
    return tally.figure()


def trial_warnings(
    model: Path, facts: ModelFacts, dataset: Dataset, source: DataSource, metric_name: str | None
) -> Iterator[str]:
    """Say what makes the model's answers clearly better. Says nothing where the metric cannot be computed.

    Args:
        source: what was opened as `dataset`.
        metric_name: as the user named it; None: that of the task.
    """
    try:
        metric = chosen_metric(metric_name, dataset.head, dataset, [each.name for each in facts.outputs])
        if not is_share_metric(metric.name):
            return
        session = open_model(model)
        declared = score(session, dataset, metric).value
    except EdgedeployError:
        return
    over = f"{metric.name} over {min(TRIED_SAMPLES, dataset.count or TRIED_SAMPLES)} samples"
    swapped = _colors_swapped(source, dataset)
    if swapped is not None:
        with_swapped = _tried(lambda: score(session, open_dataset(swapped, facts.inputs), metric))
        if _is_better(with_swapped, declared):
            color = swapped.preprocessing["color"]
            yield (
                f"{over} is {declared:.3g} as declared and {with_swapped:.3g} with color = {color!r}: "
                "the channels look swapped"
            )
    if dataset.task == "classification":
        for shift in (-1, 1):
            change = functools.partial(_shifted, by=shift)
            shifted = _tried(functools.partial(score, session, dataset, metric, changed=change))
            if _is_better(shifted, declared):
                more = "larger" if shift > 0 else "smaller"
                yield (
                    f"{over} is {declared:.3g} as declared and {shifted:.3g} with all numbers of classes {more} by "
                    "one: they look off by one; declare class_names in the model's order"
                )


def model_classes(facts: ModelFacts, task: str | None, head: Head | None) -> int | None:
    """Return how many classes a model tells apart, where its output shapes say so; None where they do not."""
    if head is not None:
        if head.classes:
            return head.classes
        shapes = [tuple(_extent(each) for each in output.shape) for output in facts.outputs]
        try:
            place, slices = find_head(head, [each.name for each in facts.outputs]).groups(shapes)["classes"]
        except (EdgedeployError, KeyError, IndexError):
            return None
        axis, channels = len(slices) - 1, slices[-1]
        extent = shapes[place][axis]
        found = len(range(*channels.indices(extent))) if isinstance(channels, slice) else len(channels)
        return found or None
    if task == "classification" and facts.outputs and len(facts.outputs[0].shape) == 2:
        last = facts.outputs[0].shape[1]
        return last if isinstance(last, int) and last > 1 else None
    return None


def _extent(dimension: Dimension) -> int:
    """Return an extent; of one that is open, one that no count of channels is mistaken for."""
    return dimension if isinstance(dimension, int) else _OPEN_EXTENT


_OPEN_EXTENT = 1 << 20


def _colors_swapped(source: DataSource, dataset: Dataset) -> DataSource | None:
    preprocessing = dataset.preprocessing
    if not isinstance(preprocessing, ImagePreprocessing) or preprocessing.color == "gray":
        return None
    other = "bgr" if preprocessing.color == "rgb" else "rgb"
    return structs.replace(source, preprocessing={**source.preprocessing, "color": other})


def _shifted(labels: Labels, by: int) -> Labels:
    return labels + by if isinstance(labels, np.ndarray) else labels


def _tried(compute: Callable[[], MetricFigure]) -> float:
    try:
        return compute().value
    except EdgedeployError:
        return math.nan


def _is_better(found: float, declared: float) -> bool:
    """Return whether a share is larger by more than chance gives."""
    noise = math.sqrt(max(declared * (1 - declared), 0.0) / TRIED_SAMPLES)
    return found - declared > max(_LEAST_GAIN, _DEVIATIONS * noise)
