"""Running a labelled dataset on a device, and comparing with the same model on this machine."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

from msgspec import structs

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.sanitize import printable
from edgedeploy.inference.formats import format_of
from edgedeploy.inference.session import open_session
from edgedeploy.measure.conditions import observe
from edgedeploy.measure.protocol import conversation
from edgedeploy.measure.reference import reference_model
from edgedeploy.measure.streaming import stream
from edgedeploy.metrics.agreement import AgreementAccumulator
from edgedeploy.metrics.classification import find_metric
from edgedeploy.metrics.regressions import ClassAccumulator, broken
from edgedeploy.stats.rounding import at_least, at_most
from edgedeploy.values.bundle import Release
from edgedeploy.values.measurement import Accuracy, Measurement


def test(
    connection: Connection,
    release: Release,
    evaluation: str,
    *,
    metric: str = "top1",
    limit: int | None = None,
    model: Path | None = None,
    progress: Progress = SILENT,
) -> Measurement:
    """Stream a dataset through the release on the device.

    Every output is compared with what the release's own model (`reference_model`) answers on this machine in exact
    arithmetic; the metric is computed from the device's outputs, with the samples and classes that lost by it.
    Memory is bounded on both sides but for a number for each sample, disk whatever the dataset's size. Without labels
    there is agreement but no metric.

    Args:
        evaluation: as `open_dataset` takes it.
        metric: as `find_metric` takes it.
        limit: run this many feeds only, the first ones; the figures then are of a part of the dataset.
        model: the file that was compiled; needed where that became a program, and on another machine.

    Raises:
        DatasetError, InvalidFileError: the dataset does not exist or does not fit the model.
        UnknownNameError: there is no such metric.
        IntegrityError: the model on the device is not the one that its manifest names.
        UnsupportedError: the outputs cannot be compared: they are not real numbers, or of other ranks; or there is no
            model to compare with.
        DeviceError, UnreachableError: the runner fails, or the connection is lost.
    """
    dataset = open_dataset(evaluation, release.manifest.model.inputs)
    chosen = find_metric(metric)
    # One thread: an emulated board computes on this machine at the same time.
    content = reference_model(connection, release, progress, model)
    host = open_session(content, format_of(content[:8]), exact=True, threads=1)
    names = [output.name for output in release.manifest.model.outputs]
    agreement, on_device, on_host = AgreementAccumulator(), chosen.start(), chosen.start()
    by_output = {name: AgreementAccumulator() for name in names} if len(names) > 1 else {}
    by_class = ClassAccumulator() if chosen.name == "top1" else None
    samples = feeds = 0
    count = dataset.count if limit is None or dataset.count is None else min(dataset.count, limit)
    with conversation(connection, release) as talk:
        progress.step(f"loading {release.id} on {connection.address}")
        talk.ask({"do": "load"})
        progress.step(f"testing on {connection.address}")
        with contextlib.closing(stream(talk, itertools.islice(dataset.samples(), limit))) as answers:
            for sample, arrays in answers:
                outputs = [talk.output(arrays, name) for name in names]
                expected = host.run(sample.feed)
                agreement.add(outputs, expected)
                for (_, one), output, wanted in zip(by_output.items(), outputs, expected, strict=False):
                    one.add([output], [wanted])
                if sample.labels is not None:
                    on_device.add(outputs, sample.labels)
                    on_host.add(expected, sample.labels)
                    if by_class is not None:
                        by_class.add(outputs, expected, sample.labels)
                samples += sample.size
                feeds += 1
                progress.advance(feeds, count, "samples")
        observed = observe(talk, connection, release)
    # How long a callable's dataset is, only running it to its end tells.
    partial = limit is not None and (dataset.count is None or feeds < dataset.count)
    accuracy = Accuracy(
        evaluation=evaluation,
        evaluation_sha256="" if partial and dataset.count is None else dataset.sha256,
        samples=samples,
        metric=on_device.figure() if dataset.has_labels else None,
        host_metric=on_host.figure() if dataset.has_labels else None,
        agreement=agreement.figure(),
        by_output={printable(name): one.figure() for name, one in by_output.items()},
        partial=partial,
        classes=by_class.figure() if by_class is not None and dataset.has_labels else None,
        broken=broken(on_host.scores(), on_device.scores()) if dataset.has_labels else None,
    )
    return structs.replace(observed, accuracy=accuracy)


def disagreements(accuracy: Accuracy, *, min_agreement: float, min_sqnr_db: float, max_drop: float) -> tuple[str, ...]:
    """Why the device's answers are too far from the host's; empty when they are not.

    Args:
        min_agreement: floor of the top-1 match, in [0, 1]; used where the model gives scores.
        min_sqnr_db: floor of the SQNR, used where it does not.
        max_drop: how far the metric on the device may lie under the host's.
    """
    found = []
    agreement = accuracy.agreement
    if agreement.nonfinite_elements:
        found.append(f"{agreement.nonfinite_elements:,} elements of the outputs are NaN, or infinite on one side")
    if agreement.other_shapes:
        found.append(f"{agreement.other_shapes:,} of {agreement.samples:,} answers have another shape than the host's")
    if agreement.top1_match is not None:
        if not at_least(agreement.top1_match, min_agreement):
            found.append(f"{agreement.top1_match:.2%} of the answers are the host's; {min_agreement:.2%} are needed")
    elif agreement.sqnr_db is not None and agreement.sqnr_db < min_sqnr_db:
        found.append(f"the outputs' SQNR is {agreement.sqnr_db:.1f} dB; {min_sqnr_db:g} dB are needed")
    if accuracy.metric and accuracy.host_metric:
        drop = accuracy.host_metric.value - accuracy.metric.value
        if not at_most(drop, max_drop):
            found.append(f"{accuracy.metric.name} is {drop:.4f} under the host's; {max_drop:g} is allowed")
    return tuple(found)
