"""The whole way, from a contract to a verdict. Nothing happens here that the rooms do not do."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import tempfile
from pathlib import Path

from msgspec import structs

from edgedeploy.bundle.build import manifest_bytes
from edgedeploy.bundle.signature import check_key, read_signature, sign
from edgedeploy.compile.build import compile_model
from edgedeploy.deploy.preflight import check_target
from edgedeploy.deploy.push import PushResult, push
from edgedeploy.deploy.releases import rollback
from edgedeploy.device.address import connect
from edgedeploy.device.connection import Connection
from edgedeploy.device.emulator.board import board_status
from edgedeploy.device.probe.probe import probe
from edgedeploy.foundation.errors import DeviceError, IntegrityError, InvalidFileError, UnsupportedError
from edgedeploy.foundation.files import sha256_file
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.measure.bench import bench
from edgedeploy.measure.conditions import merge
from edgedeploy.measure.evaluate import test
from edgedeploy.measure.profile import PROFILED
from edgedeploy.measure.profile import profile as profile_release
from edgedeploy.model.load import is_tflite
from edgedeploy.optimize.guard.speed import SpeedJudge
from edgedeploy.optimize.optimize import optimize
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.optimize.search.search import SearchSettings
from edgedeploy.targets.fit import fit_target
from edgedeploy.targets.load import load_target
from edgedeploy.values.bundle import Bundle, Release
from edgedeploy.values.contract import Contract, Outcome, Verdict
from edgedeploy.values.profile import Profile
from edgedeploy.values.shipment import Shipment, ShippedBundle, ShippedContract, ShippedRelease
from edgedeploy.values.target import Target
from edgedeploy.verdict.check import check
from edgedeploy.workflows.emulated.instruction_counts import speed_judge

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
    accept_new: bool = False,
    progress: Progress = SILENT,
) -> Shipment:
    """Optimize, compile, push, bench, test and check what `contract` hands over.

    A release that breaks its contract does not stay current where another one was so before: that one is made current
    again.

    Args:
        device: an address, as `connect` takes it. It is opened first: a device that cannot be reached is known at once,
            not after minutes of work.
        target: what to build for. By default the one that fits the device best, by what the device says of itself.
        backend: `"auto"` or a backend's name, as `compile` takes it; the model is optimized for it.
        work: where the optimized model and the bundle are kept; by default nowhere.
        profile: how long `bench` measures: `"smoke"`, `"standard"` or `"long"`.
        strict: the contract holds only if every line of it can be told.
        sign_key: an SSH key to sign the bundle with, as `edgedeploy.bundle.signature.sign` takes it.

    Returns:
        All that was seen. When the guard refuses the optimized model, `evidence` says why and the fields after it are
        None: nothing was sent.

    Raises:
        EdgedeployError: any kind; each room says which.
    """
    with contextlib.ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgedeploy-")))
        _check_expiry(contract)
        if sign_key is not None:
            check_key(sign_key)
        model = _handed_over(contract)
        connection = stack.enter_context(connect(device, accept_new=accept_new, progress=progress))
        chosen = _target(device, connection, target, backend, progress)
        calibration = _dataset(contract, contract.data.calibration)
        evaluation = _dataset(contract, contract.data.evaluation)
        limits = contract.limits

        # A real device is not asked: how fast it is, `bench` measures there with the release itself.
        judge = stack.enter_context(_speed_judge(device, chosen, model, progress))
        optimized = folder / f"{contract.model.name}{'.tflite' if model.suffix == '.tflite' else '.onnx'}"
        evidence = optimize(
            model,
            load_recipe(contract.optimization.recipe),
            optimized,
            calibration=calibration,
            evaluation=evaluation,
            metric=contract.data.metric,
            # A contract that states no drop is judged by its floor alone, on the device.
            max_drop=1.0 if limits.metric_max_drop is None else limits.metric_max_drop,
            target=chosen,
            speed=judge,
            allowed=contract.optimization.allow,
            search_settings=SearchSettings(
                objective=contract.optimization.objective, time_budget_s=contract.optimization.time_budget_s
            ),
            progress=progress,
        )
        shipment = Shipment(
            schema=SCHEMA,
            edgedeploy=importlib.metadata.version("edgedeploy"),
            device=device,
            contract=_contract_facts(contract),
            evidence=evidence,
        )
        if not evidence.accepted:
            return structs.replace(shipment, remarks=("Nothing was sent: the optimized model was refused.",))
        bundle = compile_model(
            optimized,
            chosen,
            folder / f"{contract.model.name}.bundle",
            name=contract.model.name,
            version=contract.model.version,
            backend=backend,
            golden=calibration or evaluation,
            contract=contract,
            progress=progress,
        )
        signature = None
        if sign_key is not None:
            sign(manifest_bytes(bundle), bundle.path, sign_key)
            signature = read_signature(bundle.path)
        pushed = push(bundle, connection, signature=signature, progress=progress)
        assert evaluation is not None
        measurement = merge(
            bench(connection, pushed.release, profile=profile, progress=progress),
            test(connection, pushed.release, evaluation, metric=contract.data.metric, progress=progress),
        )
        verdict = check(contract, measurement, strict=strict)
        profiled = _profile(connection, pushed.release, progress)
        current, remarks = _settle(connection, pushed, verdict, progress)
    return structs.replace(
        shipment,
        bundle=_bundle_facts(bundle),
        release=_release_facts(pushed, current),
        measurement=measurement,
        profile=profiled,
        verdict=verdict,
        remarks=remarks,
    )


def _speed_judge(
    device: str, target: Target, model: Path, progress: Progress
) -> contextlib.AbstractContextManager[SpeedJudge | None]:
    """By instructions on an emulated board, by time on this machine; nobody for another device, nor on a board that
    cannot have the runtime which is asked for both models."""
    if device.startswith("board:"):
        runtime = "tflite" if is_tflite(model) else "onnxruntime"
        return speed_judge(device, progress=progress) if runtime in target.backends else contextlib.nullcontext()
    return speed_judge(None) if device.startswith("local:") else contextlib.nullcontext()


def _check_expiry(contract: Contract) -> None:
    """Before hours of work whose verdict is known.

    Raises:
        InvalidFileError: the contract has expired.
    """
    model = contract.model
    if model.expires is not None and datetime.datetime.now(datetime.UTC).date() > model.expires:
        raise InvalidFileError(
            f"the contract of {model.name} {model.version} expired on {model.expires}",
            hint=f"ask {model.owner or 'the people who trained the model'} for a new one",
        )


def _handed_over(contract: Contract) -> Path:
    path = contract.folder / contract.model.file
    if sha256_file(path) != contract.model.sha256:
        raise IntegrityError(
            f"{path} is not the model that the contract names",
            why="its SHA-256 is another one",
            hint="ask for the right file, or for a contract of this one",
        )
    return path


def _dataset(contract: Contract, name: str | None) -> str | None:
    if name is None:
        return None
    path = contract.folder / name
    # package.module:callable is no path; a file of that name would be meant by it all the same.
    return name if ":" in name and not path.exists() else str(path)


def _target(device: str, connection: Connection, name: str | None, backend: str, progress: Progress) -> Target:
    """What to build for. A device that cannot run it is known before any work is done.

    Raises:
        DeviceError: no target is for such a device, or it is none of the kind `name`.
        UnsupportedError: the target, or this device, cannot have the backend.
        UnknownNameError: there is no such target.
    """
    progress.step(f"asking {connection.address} what it is")
    found = probe(connection)
    but: tuple[str, ...] = ()
    # One of the target's systems that was named is built for as it is; else it is the device's own.
    if name is None:
        fitting = fit_target(found, only=_target_of_board(device)) or fit_target(found)
    else:
        fitting = None if ":" in name else fit_target(found, only=name)
    if fitting is not None:
        chosen, fit = fitting
        but = fit.but
        progress.note(f"target {fit.target}: {'; '.join((*fit.why, *(f'but {each}' for each in but)))}")
    elif name is not None:
        chosen = load_target(name)
        check_target(chosen, found)
    else:
        raise DeviceError(
            f"{connection.address} is {found.machine}, and no target is for such a device",
            hint="edgedeploy targets shows what there is; --target says what to build for",
        )
    if backend == "auto":
        return chosen
    if backend not in chosen.backends:
        raise UnsupportedError(
            f"{connection.address} as a {chosen.name} cannot have the backend {backend!r}",
            why="; ".join(but),
            hint=f"there are: {', '.join(chosen.backends)}",
        )
    # Passes ask what runs the model: no operators of one runtime for another.
    return structs.replace(chosen, backends=(backend,))


def _target_of_board(device: str) -> str | None:
    """QEMU says less of what it stands in for than the state of the board does."""
    if not device.startswith("board:"):
        return None
    return board_status(device.removeprefix("board:")).target or None


def _profile(connection: Connection, release: Release, progress: Progress) -> Profile | None:
    """Where the time goes, for the report; that there is none is no reason to stop."""
    if release.manifest.runtime.backend not in PROFILED:
        return None
    try:
        return profile_release(connection, release, progress=progress)
    except DeviceError as error:
        progress.note(str(error))
        return None


def _settle(
    connection: Connection, pushed: PushResult, verdict: Verdict, progress: Progress
) -> tuple[bool, tuple[str, ...]]:
    """Take a release back that broke its contract. Whether it is current now, and what to say of it."""
    release = pushed.release
    if verdict.outcome is not Outcome.BREAKS:
        return True, ()
    if not pushed.activated or release.parent is None:
        return True, (f"{release.id} broke its contract and stays current: there is no release before it.",)
    try:
        before = rollback(connection, release.name, progress=progress)
    except DeviceError as error:
        return True, (f"{release.id} broke its contract and stays current: {error.what}.",)
    return False, (f"{release.id} broke its contract: {before.id} is current again.",)


def _contract_facts(contract: Contract) -> ShippedContract:
    return ShippedContract(
        name=contract.model.name,
        version=contract.model.version,
        framework=contract.model.framework,
        recipe=contract.optimization.recipe,
        metric=contract.data.metric,
        evaluation=contract.data.evaluation,
    )


def _bundle_facts(bundle: Bundle) -> ShippedBundle:
    return ShippedBundle(
        sha256=bundle.sha256,
        size_bytes=bundle.size_bytes,
        files=len(bundle.manifest.files) + 1,
        target=bundle.manifest.target,
        packages=bundle.manifest.runtime.packages,
    )


def _release_facts(pushed: PushResult, current: bool) -> ShippedRelease:
    return ShippedRelease(
        id=pushed.release.id,
        parent=pushed.release.parent,
        sent_files=pushed.sent_files,
        sent_bytes=pushed.sent_bytes,
        kept_files=pushed.kept_files,
        current=current,
    )
