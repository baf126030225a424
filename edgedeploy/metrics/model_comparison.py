"""A float model and results made from it, run side by side over the same samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.dataset import Sample
from edgedeploy.foundation.errors import DatasetError, EdgedeployError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.inference.session import Session
from edgedeploy.metrics.agreement import AgreementAccumulator, OutputAgreements
from edgedeploy.metrics.answers_kept import AnswerReader, KeptTally
from edgedeploy.metrics.change import metric_change
from edgedeploy.metrics.classification import scored_output
from edgedeploy.metrics.group_agreement import GroupAgreements, ReferenceBatch, ReferenceGroups
from edgedeploy.metrics.heads.decoder import Decoder
from edgedeploy.metrics.metric import Metric, MetricAccumulator
from edgedeploy.metrics.metric_trial import MetricTrial
from edgedeploy.metrics.rank_agreement import RankAgreement
from edgedeploy.metrics.regressions import ClassAccumulator, broken
from edgedeploy.values.metric_facts import reads_scores
from edgedeploy.values.quality import Agreement, AnswersKept, Broken, ByClass, MetricChange, MetricFigure, MetricTrust


class ResultFailedError(Exception):
    """A result does not run where the float model does, or gives outputs of a shape that it never has."""


class SessionFigures(Struct, frozen=True, kw_only=True):
    """How the answers of one session compare with the reference's, over all samples."""

    metric: MetricFigure | None
    change: MetricChange | None
    """Of the metric, from the reference's."""
    agreement: Agreement
    largest_difference: float
    """From the reference: of any element, relative to the largest magnitude of its output in its batch."""
    non_finite: int
    """Elements that are NaN or infinite where the reference's are finite."""
    classes: ByClass | None = None
    """None unless the metric is top1."""
    broken: Broken | None = None
    """None without a metric, and with one that has no view of a single sample."""
    kept: AnswersKept | None = None
    """Of the reference's answers, where a head is declared."""
    rank_correlation: float | None = None
    """With the reference's order of the samples; None where none was asked for, or there is none."""
    by_output: dict[str, Agreement] = {}
    """Of each output by itself, where the model has several."""
    by_group: dict[str, Agreement] = {}
    """Of each group of channels that means something else than its neighbors, where an output has several."""
    unread: tuple[str, ...] = ()
    """Outputs among them that a built-in metric does not look at; a user's own is given all."""

    @property
    def worst_sqnr_db(self) -> float | None:
        """Of the output, or the group of channels, with most noise; None where all are equal to the reference's."""
        judged = (*(self.by_output or {"": self.agreement}).values(), *self.by_group.values())
        each = [agreement.sqnr_db for agreement in judged]
        return min((sqnr_db for sqnr_db in each if sqnr_db is not None), default=None)


class ModelComparison(Struct, frozen=True, kw_only=True):
    """A reference, and sessions that ran beside it."""

    output_names: tuple[str, ...]
    """In the reference's order."""
    samples: int
    reference_metric: MetricFigure | None
    reference_non_finite: int
    """Elements of the reference's outputs that are NaN or infinite."""
    reference_finite: int
    """The others, whole numbers and truth values among them."""
    sessions: tuple[SessionFigures, ...]
    """In the order in which they were given."""
    trust: MetricTrust | None = None
    """In the metric; None where it was not tried."""


def compare(
    reference: Session,
    sessions: Sequence[Session],
    batches: Iterable[Sample],
    *,
    metric: Metric | None,
    classifies: bool = False,
    decoder: Decoder | None = None,
    ranks: bool = False,
    trial: MetricTrial | None = None,
    total: int | None = None,
    progress: Progress = SILENT,
) -> ModelComparison:
    """Run every batch through all sessions. Memory does not grow with the number of samples, but for the scores of a
    metric: some numbers each.

    Args:
        reference: what the others are compared with.
        batches: run in order, each by all sessions.
        metric: computed for all; None leaves that out. It needs labels in every batch.
        classifies: without a metric: the output that a built-in one would read holds class scores all the same, since
            the user said so.
        decoder: the model's head: it says which channels mean what, and reads the answers. None leaves the first to
            the values, and the second out.
        ranks: whether what counts is the order of the samples.
        trial: of the metric, over the reference's answers; None leaves that out.
        total: how many samples there are, for progress; None when that is not known.

    Raises:
        DatasetError: there is no sample, or the reference does not take one.
        UnsupportedError: the reference fails on one, or gives what is no tensor of real numbers.
        ResultFailedError: a session fails where the reference does not.
    """
    reference_score = metric.start() if metric else None
    groups = ReferenceGroups(reference.output_names, decoder.groups if decoder else None)
    reader = AnswerReader(decoder) if decoder else None
    scores = [_Accumulator(metric, groups, reader, classifies=classifies, ranks=ranks) for _ in sessions]
    samples = reference_non_finite = reference_finite = 0
    for batch in batches:
        expected = reference.run(batch.feed)
        non_finite = sum(_non_finite(output) for output in expected)
        reference_non_finite += non_finite
        reference_finite += sum(output.size for output in expected) - non_finite
        if reference_score is not None:
            reference_score.add(expected, batch.labels, batch.feed)
        if trial is not None:
            trial.add(expected, batch.labels, batch.feed)
        grouped = groups.add(expected)
        answers = reader.read(expected, batch.feed, batch.labels) if reader else ()
        for session, score in zip(sessions, scores, strict=True):
            score.add(run_result(session, batch, reference, expected), grouped, batch, answers)
        samples += batch.size
        progress.advance(samples, total, "samples")
    if not samples:
        raise DatasetError("there is no sample to compare the models on", hint="give a dataset with samples")
    return ModelComparison(
        output_names=tuple(reference.output_names),
        samples=samples,
        reference_metric=reference_score.figure() if reference_score else None,
        reference_non_finite=reference_non_finite,
        reference_finite=reference_finite,
        sessions=tuple(score.figures(reference_score) for score in scores),
        trust=trial.result(groups.names, groups.groups()) if trial is not None and reference_finite else None,
    )


def run_result(session: Session, batch: Sample, reference: Session, expected: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run a result on a batch for which the float model, `reference`, gives `expected`.

    Raises:
        ResultFailedError: it does not run, or gives something of a shape that the float model's outputs never have.
            Extents that the float model leaves open may depend on values: how many boxes are left, how long a text is.
    """
    try:
        outputs = session.run(batch.feed)
    except EdgedeployError as error:
        raise ResultFailedError(error.why or error.what) from error
    declared = reference.output_shapes
    if len(outputs) != len(expected) or not all(map(_may_be, outputs, expected, declared)):
        raise ResultFailedError(
            f"its outputs have the shapes {[output.shape for output in outputs]}, "
            f"the float model's {[output.shape for output in expected]}"
        )
    return outputs


def _may_be(output: np.ndarray, expected: np.ndarray, declared: Sequence[int | None] | None) -> bool:
    """Return whether an output may have its shape where `expected` has another."""
    if output.ndim != expected.ndim:
        return False
    # What a model declares is not always true of its own outputs.
    fixed = declared if declared is not None and len(declared) == expected.ndim else (None,) * expected.ndim
    return all(
        found == wanted or wanted != extent
        for found, wanted, extent in zip(output.shape, expected.shape, fixed, strict=True)
    )


class _Accumulator:
    """Adds up the answers of one session."""

    def __init__(
        self,
        metric: Metric | None,
        groups: ReferenceGroups,
        answers: AnswerReader | None,
        *,
        classifies: bool,
        ranks: bool,
    ) -> None:
        self._names = names = groups.names
        self._groups = groups
        self._by_output = OutputAgreements(names if len(names) > 1 else ())
        self._by_group = GroupAgreements(groups)
        self._reader = metric
        self._classifies = classifies or (metric is not None and reads_scores(metric.name))
        self._read: tuple[int, ...] | None = None
        self._metric: MetricAccumulator | None = metric.start() if metric else None
        self._by_class = ClassAccumulator() if metric is not None and metric.name == "top1" else None
        self._answers = answers
        self._kept = KeptTally(answers.score_min) if answers else None
        self._ranks = RankAgreement() if ranks else None
        self._agreement = AgreementAccumulator()
        self._largest_difference = 0.0
        self._non_finite = 0

    def add(
        self, outputs: Sequence[np.ndarray], grouped: ReferenceBatch, batch: Sample, answers: tuple[Any, ...]
    ) -> None:
        expected = grouped.outputs
        if self._answers is not None and self._kept is not None:
            self._kept.add(self._answers.read(outputs, batch.feed, batch.labels), answers)
        scored = scored_output(expected) if self._classifies else None
        self._agreement.add(outputs, expected, scored=scored)
        if len(self._names) > 1:
            self._by_output.add(outputs, expected, scored=scored)
        self._by_group.add(outputs, grouped)
        if self._ranks is not None:
            self._ranks.add(outputs, expected, grouped.samples)
        if self._reader is not None:
            self._read = self._reader.read_outputs(expected)
        self._largest_difference = max(self._largest_difference, relative_difference(outputs, expected))
        for output, wanted in zip(outputs, expected, strict=True):
            self._non_finite += max(0, _non_finite(output) - _non_finite(wanted))
        if self._metric is not None:
            self._metric.add(outputs, batch.labels, batch.feed)
        if self._by_class is not None and isinstance(batch.labels, np.ndarray):
            self._by_class.add(outputs, expected, batch.labels)

    def figures(self, reference: MetricAccumulator | None) -> SessionFigures:
        change = lost = None
        if self._metric is not None and reference is not None:
            lost = broken(reference.scores(), self._metric.scores())
            change = metric_change(reference, self._metric)
        return SessionFigures(
            metric=self._metric.figure() if self._metric else None,
            change=change,
            agreement=self._whole(),
            largest_difference=self._largest_difference,
            non_finite=self._non_finite,
            classes=self._by_class.figure() if self._by_class else None,
            broken=lost,
            kept=self._kept.figure() if self._kept else None,
            rank_correlation=self._ranks.figure() if self._ranks else None,
            by_output={
                name: self._groups.of_whole(agreement, name, self._by_output.error_squares(name))
                for name, agreement in self._by_output.figures().items()
            },
            by_group=self._by_group.figures(),
            unread=()
            if self._read is None
            else tuple(name for place, name in enumerate(self._names) if place not in self._read),
        )

    def _whole(self) -> Agreement:
        """Return the agreement over all outputs; of a single one, with what depends on the input."""
        found = self._agreement.figure()
        if len(self._names) != 1:
            return found
        return self._groups.of_whole(found, self._names[0], self._agreement.error_squares)


def relative_difference(outputs: Sequence[Any], expected: Sequence[Any]) -> float:
    """Return the largest difference of any element, relative to the largest magnitude of its output.

    Args:
        outputs, expected: arrays of the same model outputs in the same order.

    Infinite when shapes or types differ, when what is not finite differs, or when integers, truth values or strings
    differ at all.
    """
    worst = 0.0
    for output, wanted in zip(outputs, expected, strict=True):
        if output.shape != wanted.shape or output.dtype != wanted.dtype:
            return float("inf")
        if not np.issubdtype(output.dtype, np.floating):
            if not np.array_equal(output, wanted):
                return float("inf")
            continue
        finite = np.isfinite(wanted)
        if not np.array_equal(output[~finite], wanted[~finite], equal_nan=True):
            return float("inf")
        if not finite.any():
            continue
        magnitudes = wanted[finite].astype(np.float64)
        error = float(np.abs(output[finite].astype(np.float64) - magnitudes).max())
        if not np.isfinite(error):
            return float("inf")
        if error > 0.0:
            worst = max(worst, error / max(float(np.abs(magnitudes).max()), float(np.finfo(np.float32).tiny)))
    return worst


def _non_finite(output: np.ndarray) -> int:
    return int((~np.isfinite(output)).sum()) if np.issubdtype(output.dtype, np.floating) else 0
