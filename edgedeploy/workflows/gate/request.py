"""What is asked of `gate`, resolved and checked before a board is booted: minutes are not to end in a wrong path."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import EdgedeployError, IntegrityError, InvalidFileError, UnsupportedError
from edgedeploy.foundation.progress import Progress
from edgedeploy.model.inspect import inspect_model
from edgedeploy.targets.load import load_target
from edgedeploy.values.baseline import Baseline, Thresholds
from edgedeploy.values.contract import Contract
from edgedeploy.values.gate import GateProblem
from edgedeploy.verdict.baseline import SCHEMA, load_baseline
from edgedeploy.verdict.contract import load_contract, naming
from edgedeploy.workflows.ship.request import ShipRequest, resolve

_Found = TypeVar("_Found")


class GateSettings(Struct, frozen=True, kw_only=True):
    """How each contract is gated on each target."""

    baseline: Path | None = None
    save: bool = False
    """Write what was measured into the baseline, where everything holds."""
    backend: str = "auto"
    minimal: bool = False
    """Boards without Python, for backends that need none."""
    strict: bool = False
    """A contract holds only if every line of it is determined."""
    allow_code: bool = False
    """Import and run what a contract names as `package.module:callable`."""
    thresholds: Thresholds = Thresholds()


class GateRequest(Struct, frozen=True, kw_only=True):
    """All that was read and found to be sound, and what was not."""

    contracts: dict[Path, Contract]
    """Those that can be gated."""
    baseline: Baseline | None
    """None where none was asked for, or the file is to be made."""
    mistakes: dict[Path | str | None, GateProblem]
    """By contract or target; None: of the baseline. With any, no board is booted."""


def resolve_gate(
    paths: Sequence[Path], targets: Sequence[str], settings: GateSettings, progress: Progress
) -> GateRequest:
    """Read contracts, models, data, targets and the baseline. All mistakes are found in one run."""
    mistakes: dict[Path | str | None, GateProblem] = {}

    def tried(key: Path | str | None, work: Callable[[], _Found]) -> _Found | None:
        try:
            return work()
        except EdgedeployError as error:
            mistakes[key] = problem_of(error)
            return None

    progress.step("checking contracts, data and baseline")
    contracts: dict[Path, Contract] = {}
    for path in paths:
        contract = tried(path, functools.partial(_contract, path, settings))
        if contract is not None:
            contracts[path] = contract
    for target in targets:
        tried(target, functools.partial(_check_target, target, settings.backend))
    baseline = tried(None, functools.partial(_baseline, settings))
    for path, first in _same_models(contracts):
        mistakes[path] = GateProblem(
            exit_code=InvalidFileError.exit_code,
            what=f"{path} and {first} are both of the model {contracts[path].model.name}",
            why="a baseline has one entry for each model and target",
            hint="give one of them another name, or gate them one by one, each with a baseline of its own",
        )
    return GateRequest(contracts=contracts, baseline=baseline, mistakes=mistakes)


def problem_of(error: EdgedeployError) -> GateProblem:
    """Keep what an error says, and the exit code that it has by itself."""
    return GateProblem(exit_code=error.exit_code, what=error.what, why=error.why, hint=error.hint)


def _check_target(name: str, backend: str) -> None:
    target = load_target(name)
    if target.emulation is None:
        raise UnsupportedError(
            f"target {target.name} has no emulated board",
            why="its file has no [emulation] table",
            hint="gate another target, or ship to a real device: edgedeploy ship CONTRACT DEVICE",
        )
    if backend != "auto" and backend not in target.backends:
        raise UnsupportedError(
            f"target {target.name} cannot have the backend {backend!r}",
            hint=f"there are: {', '.join(('auto', *target.backends))}",
        )


def _baseline(settings: GateSettings) -> Baseline | None:
    path = settings.baseline
    if path is None:
        return None
    if not path.exists():
        if settings.save:
            return Baseline(schema=SCHEMA)
        raise InvalidFileError(
            f"the baseline {path} does not exist",
            why="without it nothing can be found to have become worse",
            hint="check the path; or make it: add --save, and commit the file",
        )
    return load_baseline(path)


def _contract(path: Path, settings: GateSettings) -> Contract:
    contract = load_contract(path)
    # Neither the device nor the target is looked at: they are known when the board is up.
    request = resolve(
        contract,
        "board:",
        target=None,
        backend=settings.backend,
        profile="smoke",
        strict=settings.strict,
        sign_key=None,
        allow_code=settings.allow_code,
    )
    _check_data(request)
    return contract


def _check_data(request: ShipRequest) -> None:
    contract = request.contract
    wanted = contract.data.evaluation_sha256
    if wanted is None:
        return
    with naming(contract, "data", "evaluation_sha256"):
        found = open_dataset(request.evaluation, inspect_model(request.model).inputs).sha256
        # A callable's is known once it was run.
        if found and found != wanted:
            raise IntegrityError(
                f"{request.evaluation} is not the data that the contract names",
                why=f"its SHA-256 is {found}",
                hint="get the right file, or a contract for this one",
            )


def _same_models(contracts: dict[Path, Contract]) -> list[tuple[Path, Path]]:
    """Each contract whose model has the name of one before it, and that one."""
    first: dict[str, Path] = {}
    return [
        (path, known) for path, each in contracts.items() if (known := first.setdefault(each.model.name, path)) != path
    ]
