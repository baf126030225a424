"""Fetches the samples whose answers got worse, with what the models answer, for the report."""

from __future__ import annotations

from collections.abc import Sequence
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
from edgedeploy.metrics.heads.decoder import picture_size
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.report.content.regressions import breakages
from edgedeploy.report.content.sample_preview import preview_at, samples_at
from edgedeploy.report.content.shown_answers import shown_answer
from edgedeploy.values.data import DatasetSpec
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Labels
from edgedeploy.values.sample_preview import SamplePreview, ShownAnswer
from edgedeploy.values.shipment import Shipment


class AnsweringModel(Struct, frozen=True):
    """A model file whose answers are shown."""

    whose: str
    path: Path


def worst_samples(
    evaluation: DatasetSpec, shipment: Shipment, *, head: Head | None = None, models: Sequence[AnsweringModel] = ()
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
        found = tuple(samples_at(dataset.samples(), places))
    except EdgedeployError:
        # All figures are there: what only illustrates them is no reason to fail.
        return ()
    shown = tuple(preview_at(*one) for one in found)
    try:
        sessions = [(model.whose, _session(model.path)) for model in models]
        answers = [_answers(row, sample, head, sessions) for _, row, sample in found]
    except EdgedeployError:
        return shown
    return tuple(structs.replace(preview, answers=each) for preview, each in zip(shown, answers, strict=True))


def _answers(
    row: int, sample: Sample, head: Head | None, sessions: Sequence[tuple[str, Session]]
) -> tuple[ShownAnswer, ...]:
    """Return what is right for a sample, and what each model answers."""
    if sample.labels is None:
        return ()
    size = picture_size(sample.feed)
    answers = [shown_answer("label", sample.labels[row], size=size)]
    for whose, session in sessions:
        answer = _answered(session, sample.feed, sample.labels, head)
        if answer is not None:
            answers.append(shown_answer(whose, answer[row], size=size))
    return tuple(answers)


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
