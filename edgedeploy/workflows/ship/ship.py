"""The whole way, from a contract to a verdict. Nothing happens here that the rooms do not do."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from edgedeploy.bundle.build import manifest_bytes
from edgedeploy.bundle.signature import read_signature, sign
from edgedeploy.deploy.push import PushResult, carry_out
from edgedeploy.deploy.request import PushRequest
from edgedeploy.device.address import connect
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError, EdgedeployError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.measure.bench import bench
from edgedeploy.measure.conditions import merge
from edgedeploy.measure.evaluate import test
from edgedeploy.measure.profile import has_profiler
from edgedeploy.measure.profile import profile as profile_release
from edgedeploy.model.load import is_tflite
from edgedeploy.optimize.optimize import optimize
from edgedeploy.values.bundle import Bundle, Release
from edgedeploy.values.contract import Contract
from edgedeploy.values.evidence import Evidence
from edgedeploy.values.measurement import Measurement
from edgedeploy.values.profile import Profile
from edgedeploy.values.sample_preview import SamplePreview
from edgedeploy.values.shipment import Shipment
from edgedeploy.values.target import Target
from edgedeploy.verdict.check import check
from edgedeploy.workflows.compile import compile_bundle
from edgedeploy.workflows.judges import judges
from edgedeploy.workflows.ship.facts import bundle_facts, contract_facts, release_facts
from edgedeploy.workflows.ship.request import ShipRequest, resolve
from edgedeploy.workflows.ship.settle import settle, unsettled
from edgedeploy.workflows.ship.speed import judged_on_device, with_speed
from edgedeploy.workflows.ship.target_choice import choose_target
from edgedeploy.workflows.ship.worst_samples import AnsweringModel, worst_samples

SCHEMA = 1


def ship(
    contract: Contract,
    device: str,
    *,
    target: str | None = None,
    backend: str = "auto",
    work: Path | None = None,
    profile: str = "smoke",
    strict: bool = False,
    sign_key: Path | None = None,
    allow_code: bool = False,
    accept_new: bool = False,
    progress: Progress = SILENT,
) -> Shipment:
    """Optimize, compile, push, bench, test and check what `contract` describes.

    A release that breaks its contract does not stay current where another one was so before: that one is made current
    again, and so is one that is slower there than the float model. Who judges speed, and when, is the rule of
    `edgedeploy.workflows.judges`. Until the verdict is known, the device remembers that the release waits for it
    (`Release.awaits_verdict`): the next `ship` says so, and the way back stays the last release that was accepted.

    Args:
        device: an address, as `connect` takes it. It is opened first: a device that cannot be reached is known at once,
            not after minutes of work.
        target: what to build for. By default the one that fits the device best, by what the device says of itself.
        backend: `"auto"` or a backend's name, as `compile` takes it; the model is optimized for it.
        work: where the optimized model and the bundle are kept; by default nowhere.
        profile: how long `bench` measures: `"smoke"`, `"standard"` or `"long"`.
        strict: the contract holds only if every line of it is determined.
        sign_key: an SSH key to sign the bundle with, as `edgedeploy.bundle.signature.sign` takes it.
        allow_code: import and run a metric or dataset that the contract names as `package.module:callable`. A contract
            comes from other people; without this, one that names code is refused.

    Returns:
        All that was seen. When the guard refuses the optimized model, `evidence` says why and the fields after it are
        None: nothing was sent.

    Raises:
        EdgedeployError: any kind; each room says which.
    """
    request = resolve(
        contract,
        device,
        target=target,
        backend=backend,
        profile=profile,
        strict=strict,
        sign_key=sign_key,
        allow_code=allow_code,
    )
    with contextlib.ExitStack() as stack:
        folder = work or Path(stack.enter_context(scratch_folder()))
        connection = stack.enter_context(connect(device, accept_new=accept_new, progress=progress))
        return _ship(request, connection, folder, progress)


def _ship(request: ShipRequest, connection: Connection, folder: Path, progress: Progress) -> Shipment:
    target = choose_target(connection, request.device, request.target, request.backend, progress)
    unjudged, remarks = unsettled(connection, request.name)
    for remark in remarks:
        progress.note(remark)
    optimized, evidence = _optimize(request, target, folder, progress)
    shipment = Shipment(
        schema=SCHEMA,
        edgedeploy=importlib.metadata.version("edgedeploy"),
        device=request.device,
        contract=contract_facts(request.contract),
        evidence=evidence,
        unjudged=unjudged,
    )
    if not evidence.accepted:
        refused = (*remarks, "Nothing was sent: the optimized model was refused.")
        return structs.replace(shipment, remarks=refused, previews=_worst(request, optimized, shipment))
    bundle = _compile(request, optimized, target, folder, progress)
    pushed = _push(request, bundle, connection, progress)
    with _saying_what_is_left(pushed.release, progress):
        measurement = _measure(request, connection, pushed.release, progress)
        emulated = measurement.conditions.emulated
        evidence = judged_on_device(
            request, optimized, evidence, connection, pushed.release, progress, emulated=emulated
        )
        verdict = check(request.contract, measurement, strict=request.strict)
        verdict = with_speed(verdict, evidence.speed, request.allowed)
        profiled = _profile(connection, pushed.release, progress)
        current, settled = settle(connection, pushed.release, verdict, progress)
    shipment = structs.replace(
        shipment,
        evidence=evidence,
        bundle=bundle_facts(bundle),
        release=release_facts(pushed, current),
        measurement=measurement,
        profile=profiled,
        verdict=verdict,
        remarks=(*remarks, *settled),
    )
    return structs.replace(shipment, previews=_worst(request, optimized, shipment))


def _worst(request: ShipRequest, optimized: Path, shipment: Shipment) -> tuple[SamplePreview, ...]:
    models = [AnsweringModel("float model", request.model)]
    if optimized.exists():  # a result that was refused is not kept
        models.append(AnsweringModel("optimized", optimized))
    return worst_samples(request.evaluation, shipment, head=request.head, models=models)


@contextlib.contextmanager
def _saying_what_is_left(release: Release, progress: Progress) -> Iterator[None]:
    """Where the work is stopped after the push, say what that leaves on the device."""
    try:
        yield
    except BaseException as error:  # Ctrl-C and SIGTERM are no `Exception`
        if release.awaits_verdict:
            back = f", and the way back is {release.parent}" if release.parent else ""
            left = f"{release.id} is current on {release.device} and is not judged{back}: run ship again"
            if isinstance(error, EdgedeployError):
                error.hint = f"{error.hint}; {left}" if error.hint else left
            else:
                progress.note(left)
        raise


def _optimize(request: ShipRequest, target: Target, folder: Path, progress: Progress) -> tuple[Path, Evidence]:
    output = folder / f"{request.name}{'.tflite' if request.model.suffix == '.tflite' else '.onnx'}"
    model_format: ModelFormat = "tflite" if is_tflite(request.model) else "onnx"
    with judges(
        request.device, target=target, model_format=model_format, before_push=True, progress=progress
    ) as judging:
        evidence = optimize(
            request.model,
            request.recipe,
            output,
            calibration=request.calibration,
            evaluation=request.evaluation,
            metric=request.metric,
            head=request.head,
            max_drop=request.max_drop,
            target=target,
            speed=judging.speed,
            speed_unjudged=judging.unjudged,
            board=judging.board,
            allowed=request.allowed,
            search_settings=request.search_settings,
            progress=progress,
        )
    return output, evidence


def _compile(request: ShipRequest, optimized: Path, target: Target, folder: Path, progress: Progress) -> Bundle:
    embed = request.contract.data.embed_preprocessing
    return compile_bundle(
        optimized,
        target,
        folder / f"{request.name}.bundle",
        name=request.name,
        version=request.version,
        backend=request.backend,
        # Calibration data may be arrays, prepared already.
        golden=request.evaluation if embed else request.calibration or request.evaluation,
        contract=request.contract,
        embed=embed,
        progress=progress,
    )


def _push(request: ShipRequest, bundle: Bundle, connection: Connection, progress: Progress) -> PushResult:
    signature = None
    if request.sign_key is not None:
        sign(manifest_bytes(bundle), bundle.path, request.sign_key)
        signature = read_signature(bundle.path)
    return carry_out(PushRequest(bundle=bundle, signature=signature, awaits_verdict=True), connection, progress)


def _measure(request: ShipRequest, connection: Connection, release: Release, progress: Progress) -> Measurement:
    return merge(
        bench(connection, release, profile=request.profile, progress=progress),
        test(connection, release, request.evaluation, metric=request.metric, head=request.head, progress=progress),
    )


def _profile(connection: Connection, release: Release, progress: Progress) -> Profile | None:
    """Where the time goes, for the report; that there is none is no reason to stop."""
    if not has_profiler(release.manifest.runtime.backend):
        return None
    try:
        return profile_release(connection, release, progress=progress)
    except DeviceError as error:
        progress.note(str(error))
        return None
