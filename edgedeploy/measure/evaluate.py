"""Run a labelled dataset on a device, and compare with the same model on this machine."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from msgspec import structs

from edgedeploy.datasets.dataset import Dataset, Sample, open_dataset
from edgedeploy.datasets.preprocessing.inside import prepared_feed
from edgedeploy.device.connection import Connection
from edgedeploy.device.reconnect import reconnect
from edgedeploy.foundation.errors import UnreachableError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.sanitize import printable
from edgedeploy.inference.formats import format_of
from edgedeploy.inference.session import arithmetic_note, open_session
from edgedeploy.measure.conditions import observe
from edgedeploy.measure.protocol import conversation
from edgedeploy.measure.reference import reference_model
from edgedeploy.measure.sample_queue import SampleQueue
from edgedeploy.measure.streaming import stream
from edgedeploy.metrics.agreement import AgreementAccumulator, OutputAgreements
from edgedeploy.metrics.answers_kept import LEAST_KEPT_SHARE, AnswerReader, KeptTally
from edgedeploy.metrics.classification import scored_output
from edgedeploy.metrics.group_agreement import LEAST_GROUP_SQNR_DB, GroupAgreements, ReferenceGroups
from edgedeploy.metrics.heads.decoder import Decoder
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.metrics.metric import Metric, MetricAccumulator
from edgedeploy.metrics.registry import check_metric, chosen_metric
from edgedeploy.metrics.regressions import ClassAccumulator, broken, with_class_names
from edgedeploy.stats.rounding import at_least, at_most, beside_limit
from edgedeploy.values.bundle import Release
from edgedeploy.values.data import DatasetSpec, dataset_name
from edgedeploy.values.drop import drop_of
from edgedeploy.values.head import Head
from edgedeploy.values.measurement import Accuracy, Measurement
from edgedeploy.values.metric_facts import reads_scores
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.quality import Agreement, Broken


def test(
    connection: Connection,
    release: Release,
    evaluation: DatasetSpec,
    *,
    metric: str | None = None,
    head: Head | None = None,
    limit: int | None = None,
    model: Path | None = None,
    progress: Progress = SILENT,
) -> Measurement:
    """Stream a dataset through the release on the device, and compare with its model on this machine.

    Every output is compared with that of the release's own model (`reference_model`) in exact arithmetic here. The
    metric is computed from the device's outputs, with the samples and classes that lost by it; without labels there is
    no metric. Memory is bounded on both sides, but for a few numbers for each sample. A connection that is lost is made
    again, and the test goes on with the first sample without an answer.

    Args:
        evaluation: a dataset that `open_dataset` opens.
        metric: a name that `find_metric` knows; None takes the task's usual one where there are labels. One for
            classifiers that is named says too that the model classifies: its answers are compared without labels too.
        head: what turns the model's outputs into answers, for metrics that need it.
        limit: run only this many feeds, the first ones; the figures are then over a part of the dataset.
        model: the file that was compiled; needed where it became a program on another machine.

    Raises:
        DatasetError, InvalidFileError: the dataset does not exist or does not fit the model.
        UnknownNameError: there is no such metric.
        IntegrityError: the model on the device is not the one that its manifest names.
        UnsupportedError: the outputs cannot be compared: they are neither real numbers nor text, or of other ranks; or
            there is no model to compare with.
        DeviceError, UnreachableError: the runner fails, or the connection is lost.
    """
    dataset = open_dataset(evaluation, release.manifest.model.inputs)
    names = [output.name for output in release.manifest.model.outputs]
    if metric is not None:
        check_metric(metric)
    chosen = chosen_metric(metric, head, dataset, names) if dataset.has_labels else None
    classifies = reads_scores(metric if chosen is None else chosen.name)
    declared = head or dataset.head
    decoder = find_head(declared, names) if declared else None
    tally = _Tally(names, chosen, decoder, classifies=classifies, inputs=release.manifest.model.inputs)
    # One thread: an emulated board computes on this machine at the same time.
    content = reference_model(connection, release, progress, model)
    host = open_session(content, format_of(content[:8]), exact=True, threads=1)
    if note := arithmetic_note(host):
        progress.step(f"opening its model on this machine ({note})")
    count = dataset.count if limit is None or dataset.count is None else min(dataset.count, limit)
    samples = SampleQueue(itertools.islice(dataset.samples(), limit))

    def go_on() -> Measurement:
        with conversation(connection, release) as talk:
            progress.step(f"loading {release.id} on {connection.address}")
            talk.ask({"do": "load"})
            progress.step(f"testing on {connection.address}")
            with contextlib.closing(stream(talk, samples.turn())) as answers:
                for sample, arrays in answers:
                    outputs = [talk.output(arrays, name) for name in tally.names]
                    tally.add(sample, outputs, host.run(sample.feed))
                    samples.answered()
                    progress.advance(tally.feeds, count, "samples")
            return observe(talk, connection, release)

    observed = _through_cuts(go_on, lambda: tally.feeds, connection, progress)
    return structs.replace(
        observed, accuracy=tally.accuracy(dataset_name(evaluation), dataset, is_limited=limit is not None)
    )


def _through_cuts(
    go_on: Callable[[], Measurement], answered: Callable[[], int], connection: Connection, progress: Progress
) -> Measurement:
    """Call `go_on` until it comes to its end, connecting again where the connection is lost. One that is lost before
    the next answer is given up."""
    while True:
        before = answered()
        try:
            return go_on()
        except UnreachableError as error:
            if answered() == before:
                raise
            progress.note(f"{error.what}; going on after {answered():,} samples")
            reconnect(connection, progress=progress)


class _Tally:
    """Sums over the samples of one dataset: the device's outputs against the host's and against the labels."""

    def __init__(
        self,
        names: Sequence[str],
        metric: Metric | None,
        decoder: Decoder | None,
        *,
        classifies: bool,
        inputs: Sequence[TensorFacts],
    ) -> None:
        self.names = names
        self._inputs = inputs
        self._classifies = classifies
        self.feeds = 0
        self._samples = 0
        self._agreement = AgreementAccumulator()
        self._by_output = OutputAgreements(names if len(names) > 1 else ())
        self._ranked = decoder is not None and decoder.ranked
        self._groups = ReferenceGroups(names, decoder.groups if decoder else None)
        self._by_group = GroupAgreements(self._groups)
        self._reader = AnswerReader(decoder) if decoder else None
        self._kept = KeptTally(self._reader.score_min) if self._reader else None
        self._on_device: MetricAccumulator | None = metric.start() if metric is not None else None
        self._on_host: MetricAccumulator | None = metric.start() if metric is not None else None
        self._by_class = ClassAccumulator() if metric is not None and metric.name == "top1" else None

    def add(self, sample: Sample, outputs: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
        """Count a sample with the device's outputs and the host's."""
        scored = scored_output(expected) if self._classifies else None
        self._agreement.add(outputs, expected, scored=scored)
        if len(self.names) > 1:
            self._by_output.add(outputs, expected, scored=scored)
        self._by_group.add(outputs, self._groups.add(expected))
        feed = prepared_feed(sample.feed, self._inputs)
        if self._reader is not None and self._kept is not None:
            answers, wanted = (self._reader.read(each, feed, sample.labels) for each in (outputs, expected))
            self._kept.add(answers, wanted)
        if self._on_device is not None and self._on_host is not None:
            self._on_device.add(outputs, sample.labels, feed)
            self._on_host.add(expected, sample.labels, feed)
            if self._by_class is not None and isinstance(sample.labels, np.ndarray):
                self._by_class.add(outputs, expected, sample.labels)
        self._samples += sample.size
        self.feeds += 1

    def accuracy(self, evaluation: str, dataset: Dataset, *, is_limited: bool) -> Accuracy:
        """Return the figures over the samples so far."""
        # How long a callable's dataset is, is known only once it was run to its end.
        partial = is_limited and (dataset.count is None or self.feeds < dataset.count)
        return Accuracy(
            evaluation=evaluation,
            evaluation_sha256="" if partial and dataset.count is None else dataset.sha256,
            samples=self._samples,
            metric=self._on_device.figure() if self._on_device is not None else None,
            host_metric=self._on_host.figure() if self._on_host is not None else None,
            agreement=self._agreement.figure(),
            by_output={printable(name): agreement for name, agreement in self._by_output.figures().items()},
            by_group=self._groups_judged(),
            kept=self._kept.figure() if self._kept is not None else None,
            partial=partial,
            skipped=dataset.skipped_count,
            skipped_samples=tuple(printable(each) for each in dataset.skipped),
            classes=with_class_names(self._by_class.figure() if self._by_class else None, dataset.class_names),
            broken=self._broken(),
        )

    def _groups_judged(self) -> dict[str, Agreement]:
        """Return the groups that can be held against the host's number by number: where a model ranks its answers
        itself, no row has to be the host's."""
        if self._ranked and self._kept is not None and self._kept.figure() is not None:
            return {}
        return {printable(name): agreement for name, agreement in self._by_group.figures().items()}

    def _broken(self) -> Broken | None:
        if self._on_host is None or self._on_device is None:
            return None
        return broken(self._on_host.scores(), self._on_device.scores())


def disagreements(
    accuracy: Accuracy, *, min_agreement: float, min_sqnr_db: float, max_drop: float | str
) -> tuple[str, ...]:
    """Return why the device's answers are too far from the host's; empty when they are not.

    Every output is judged by itself: a small one that is ruined does not show in figures over all of them.

    Args:
        min_agreement: floor of the top-1 match, in [0, 1]; used for outputs that hold class scores, and for text.
            What a head makes of the outputs needs `LEAST_KEPT_SHARE` at most.
        min_sqnr_db: floor of the SQNR, used for the others. Groups of channels need `LEAST_GROUP_SQNR_DB` at most.
        max_drop: how much worse than the host's the metric on the device may be: in its own units, or as a text like
            `"2%"` of the host's.

    Raises:
        UnsupportedError: `max_drop` is no such number or text.
    """
    found = []
    agreement = accuracy.agreement
    if agreement.nonfinite_elements:
        found.append(f"{agreement.nonfinite_elements:,} elements of the outputs are NaN, or infinite on one side")
    if agreement.other_shapes:
        found.append(f"{agreement.other_shapes:,} of {agreement.samples:,} answers have another shape than the host's")
    judged = {f"output {name!r}: ": each for name, each in accuracy.by_output.items()} or {"": agreement}
    for output, each in judged.items():
        if each.text_match is not None and not at_least(each.text_match, min_agreement):
            found.append(f"{output}{each.text_match:.2%} of the texts are the host's; {min_agreement:.2%} are needed")
        if each.top1_match is not None:
            if not at_least(each.top1_match, min_agreement):
                match, least = beside_limit(each.top1_match, min_agreement, decimals=2, unit="%")
                found.append(f"{output}{match} of the answers are the host's; {least} are needed")
        elif each.sqnr_db is not None and each.sqnr_db < min_sqnr_db:
            whose = "its" if output else "the outputs'"
            sqnr, least = beside_limit(each.sqnr_db, min_sqnr_db, decimals=1, unit=" dB")
            found.append(f"{output}{whose} SQNR is {sqnr}; {least} are needed")
    for name, each in accuracy.by_group.items():
        least_db = min(min_sqnr_db, LEAST_GROUP_SQNR_DB)
        if each.sqnr_db is not None and each.sqnr_db < least_db:
            sqnr, least = beside_limit(each.sqnr_db, least_db, decimals=1, unit=" dB")
            found.append(f"channels {name}: their SQNR is {sqnr}; {least} are needed")
    kept = accuracy.kept
    least_share = min(min_agreement, LEAST_KEPT_SHARE)
    if kept is not None and not at_least(kept.share, least_share) and kept.count + kept.added - kept.kept > 1:
        share, least = beside_limit(kept.share, least_share, decimals=2, unit="%")
        found.append(f"{share} of the {kept.what} are the host's; {least} are needed")
    if accuracy.metric and accuracy.host_metric:
        drop, allowed = (
            accuracy.metric.worsening(accuracy.host_metric),
            drop_of(max_drop).of(accuracy.host_metric.value),
        )
        if not at_most(drop, allowed):
            fall, most = beside_limit(drop, allowed, decimals=4)
            side = "under" if accuracy.metric.larger_is_better else "over"
            found.append(f"{accuracy.metric.name} is {fall} {side} the host's; {most} is allowed")
    return tuple(found)
