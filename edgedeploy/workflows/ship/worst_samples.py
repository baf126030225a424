"""Fetches the samples whose answers got worse, with what the models answer, for the report."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct, structs

from edgedeploy.datasets.base import Sample
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.reading import MODEL, read_file
from edgedeploy.inference.formats import format_of
from edgedeploy.inference.session import Feed, Session, open_session
from edgedeploy.metrics.classification import answered_classes
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.report.content.regressions import breakages
from edgedeploy.report.content.sample_preview import previews, samples_at
from edgedeploy.report.content.shown_answers import shown_answer
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Labels
from edgedeploy.values.sample_preview import SamplePreview, ShownAnswer
from edgedeploy.values.shipment import Shipment


class AnsweringModel(Struct, frozen=True):
    """A model file whose answers are shown."""

    whose: str
    path: Path


def worst_samples(
    evaluation: str, shipment: Shipment, *, head: Head | None = None, models: Sequence[AnsweringModel] = ()
) -> tuple[SamplePreview, ...]:
    """Return previews of the first samples that got worse; none without labels, or where the data cannot be read again.

    Args:
        evaluation: the dataset that was run, as `open_dataset` takes it.
        head: what turns outputs into answers.
        models: run on this machine in exact arithmetic, on these samples alone.
    """
    places = {place for breakage in breakages(shipment) for place in breakage.broken.first}
    if not places:
        return ()
    try:
        dataset = open_dataset(evaluation, shipment.evidence.source.inputs)
        shown = previews(dataset.samples(), places)
    except EdgedeployError:
        # All figures are there: what only illustrates them is no reason to fail.
        return ()
    try:
        found = _answers(dataset.samples(), {preview.place for preview in shown}, head, models)
    except EdgedeployError:
        return shown
    return tuple(structs.replace(preview, answers=found.get(preview.place, ())) for preview in shown)


def _answers(
    samples: Iterator[Sample], places: Collection[int], head: Head | None, models: Sequence[AnsweringModel]
) -> dict[int, tuple[ShownAnswer, ...]]:
    """Return what is right for each sample, and what each model answers, by the sample's place."""
    sessions = [(model.whose, _session(model.path)) for model in models]
    found: dict[int, tuple[ShownAnswer, ...]] = {}
    for place, row, sample in samples_at(samples, places):
        if sample.labels is None:
            continue
        size = _picture_size(sample.feed)
        answers = [shown_answer("label", sample.labels[row], size=size)]
        for whose, session in sessions:
            answer = _answered(session, sample.feed, sample.labels, head)
            if answer is not None:
                answers.append(shown_answer(whose, answer[row], size=size))
        found[place] = tuple(answers)
    return found


def _session(path: Path) -> Session:
    content = read_file(path, MODEL)
    return open_session(content, format_of(content[:8]), exact=True)


def _answered(session: Session, feed: Feed, labels: Labels, head: Head | None) -> Sequence[Any] | None:
    """Return the model's answers to the samples of a feed; None where nothing tells what they are."""
    outputs = session.run(feed)
    if head is not None:
        return find_head(head, session.output_names).answers(outputs, feed, len(labels))
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        return list(answered_classes(outputs, labels))
    fitting = (output for output in outputs if output.ndim and output.shape[0] == len(labels))
    return next(map(list, fitting), None)


def _picture_size(feed: Feed) -> tuple[int, int] | None:
    """Return height and width of the first input that has the shape of a picture."""
    for array in feed.values():
        if array.ndim == 4 and array.shape[1] in (1, 3):
            return array.shape[2], array.shape[3]
        if array.ndim == 4 and array.shape[3] in (1, 3):
            return array.shape[1], array.shape[2]
    return None
