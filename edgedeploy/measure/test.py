"""Running a labelled dataset on a device, and comparing with the same model on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import numpy as np
from msgspec import structs

from edgedeploy.agreement import AgreementAccumulator
from edgedeploy.dataset import Dataset, Sample, open_dataset
from edgedeploy.device.connection import Connection
from edgedeploy.errors import DeviceError, IntegrityError
from edgedeploy.host_run import HostSession
from edgedeploy.measure.observation import observe
from edgedeploy.measure.protocol import Conversation, conversation
from edgedeploy.metrics import find_metric
from edgedeploy.progress import SILENT, Progress
from edgedeploy.values.bundle import Release
from edgedeploy.values.measurement import Accuracy, Measurement

_AHEAD = 4
"""Requests on their way while one is computed: a slow link then costs bandwidth, not a round trip for each sample."""


def test(
    connection: Connection,
    release: Release,
    evaluation: str,
    *,
    metric: str = "top1",
    progress: Progress = SILENT,
) -> Measurement:
    """Stream a dataset through the release on the device.

    Every output is compared with what the release's own model, fetched from the device and verified, answers on this
    machine in exact arithmetic; the metric is computed from the device's outputs. Memory and disk are bounded on both
    sides, whatever the dataset's size. Without labels there is agreement but no metric.

    Raises:
        DatasetError, InvalidFileError: the dataset does not exist or does not fit the model.
        UnknownNameError: there is no such metric.
        IntegrityError: the model on the device is not the one that its manifest names.
        DeviceError, UnreachableError: the runner fails, or the connection is lost.
    """
    dataset = open_dataset(evaluation, release.manifest.model.inputs)
    chosen = find_metric(metric)
    # One thread: an emulated board computes on this machine at the same time.
    host = HostSession(_fetch_model(connection, release, progress), exact=True, threads=1)
    names = [output.name for output in release.manifest.model.outputs]
    agreement, on_device, on_host = AgreementAccumulator(), chosen.start(), chosen.start()
    samples = 0
    with conversation(connection, release) as talk:
        progress.step(f"loading {release.id} on {connection.address}")
        talk.ask({"do": "load"})
        progress.step(f"testing on {connection.address}")
        for sample, outputs in _streamed(talk, dataset, names):
            expected = host.run(sample.feed)
            agreement.add(outputs, expected)
            if sample.labels is not None:
                on_device.add(outputs, sample.labels)
                on_host.add(expected, sample.labels)
            samples += sample.size
            progress.advance(samples, dataset.count, "samples")
        observed = observe(talk, connection, release)
    accuracy = Accuracy(
        evaluation=evaluation,
        evaluation_sha256=dataset.sha256,
        samples=samples,
        metric=on_device.figure() if dataset.has_labels else None,
        host_metric=on_host.figure() if dataset.has_labels else None,
        agreement=agreement.figure(),
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
    if agreement.top1_match is not None:
        if not agreement.top1_match >= min_agreement:
            found.append(f"{agreement.top1_match:.2%} of the answers are the host's; {min_agreement:.2%} are needed")
    elif agreement.sqnr_db is not None and not agreement.sqnr_db >= min_sqnr_db:
        found.append(f"the outputs' SQNR is {agreement.sqnr_db:.1f} dB; {min_sqnr_db:g} dB are needed")
    if accuracy.metric and accuracy.host_metric:
        drop = accuracy.host_metric.value - accuracy.metric.value
        # 0.97 - 0.96 is more than 0.01 in binary floating point.
        if not drop <= max_drop + 1e-9:
            found.append(f"{accuracy.metric.name} is {drop:.4f} under the host's; {max_drop:g} is allowed")
    return tuple(found)


def _streamed(talk: Conversation, dataset: Dataset, names: list[str]) -> Iterator[tuple[Sample, list[np.ndarray]]]:
    """Each sample with the device's outputs. Requests go out on a thread of their own, a few ahead of the answers."""
    waiting: list[Sample] = []
    changed = threading.Condition()
    state = {"done": False, "stop": False}
    failure: list[BaseException] = []

    def feed() -> None:
        try:
            for sample in dataset.samples():
                with changed:
                    changed.wait_for(lambda: len(waiting) < _AHEAD or state["stop"])
                    if state["stop"]:
                        return
                    waiting.append(sample)
                    changed.notify_all()
                talk.send({"do": "infer"}, sample.feed)
        except BaseException as error:  # handed to the reader below
            failure.append(error)
        finally:
            with changed:
                state["done"] = True
                changed.notify_all()

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        while True:
            with changed:
                changed.wait_for(lambda: waiting or state["done"])
                if failure:
                    raise failure[0]
                if not waiting:
                    return
                sample = waiting[0]
            _, arrays = talk.receive()
            with changed:
                waiting.pop(0)
                changed.notify_all()
            if missing := [name for name in names if name not in arrays]:
                raise DeviceError("the device returned no such output", why=", ".join(missing))
            yield sample, [arrays[name] for name in names]
    finally:
        with changed:
            state["stop"] = True
            changed.notify_all()


def _fetch_model(connection: Connection, release: Release, progress: Progress) -> bytes:
    manifest = release.manifest
    progress.step(f"fetching the model from {connection.address}")
    answer = connection.run(["cat", f"{release.path}/{manifest.model_file}"], timeout_s=300.0)
    if answer.exit_status:
        raise DeviceError(
            f"the model of {release.id} cannot be read on {connection.address}",
            why=answer.stderr.decode(errors="replace").strip(),
            mend="push the bundle again",
        )
    expected = {entry.path: entry.sha256 for entry in manifest.files}.get(manifest.model_file)
    if hashlib.sha256(answer.stdout).hexdigest() != expected:
        raise IntegrityError(
            f"the model of {release.id} on {connection.address} is not the one that was pushed",
            mend="push the bundle again",
        )
    return answer.stdout
