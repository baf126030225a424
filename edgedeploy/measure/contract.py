"""Reading a contract: the hand-over from the people who trained a model."""

from __future__ import annotations

import math
from pathlib import Path

from msgspec import structs

from edgedeploy.errors import InvalidFileError
from edgedeploy.safe_paths import is_name, is_relative_path, is_sha256
from edgedeploy.toml_file import load_toml
from edgedeploy.user_object import is_object_name
from edgedeploy.values.contract import Contract, Limits, TargetLimits

SCHEMA = 1
_SHARES = ("metric_max_drop", "agreement_top1_min", "size_reduction_min")


def load_contract(path: Path) -> Contract:
    """Read and validate a contract file. See `edgedeploy.values.contract` for its keys.

    Files that it names lie in its folder or below: a contract comes from other people, and is given no more than that.

    Raises:
        InvalidFileError: it cannot be read, is not TOML, has an unknown key, a wrong type or a value out of range; the
            message names the key, and the line where the parser can tell it.
    """
    contract = load_toml(path, Contract)
    wrong = _first_mistake(contract)
    if wrong:
        key, message = wrong
        raise InvalidFileError(f"{path}: {key}: {message}")
    return structs.replace(contract, folder=path.parent)


def _first_mistake(contract: Contract) -> tuple[str, str] | None:
    if contract.schema != SCHEMA:
        return "schema", f"this edgedeploy reads version {SCHEMA}, the file is version {contract.schema}"
    for key, text in (("model.name", contract.model.name), ("model.version", contract.model.version)):
        if not is_name(text):
            return key, f"{text!r} cannot be part of a path: use lower-case letters, digits, - _ and ., at most 64"
    if not is_sha256(contract.model.sha256):
        return "model.sha256", "64 lower-case hexadecimal digits are expected"
    if not is_relative_path(contract.model.file):
        return "model.file", "a path inside the contract's folder is expected"
    for key, data in (("data.evaluation", contract.data.evaluation), ("data.calibration", contract.data.calibration)):
        if data is not None and not is_relative_path(data) and not is_object_name(data):
            return key, "a path inside the contract's folder, or package.module:callable, is expected"
    return _limit_mistake(contract.limits)


def _limit_mistake(limits: Limits) -> tuple[str, str] | None:
    stated = [value for name, value in structs.asdict(limits).items() if name != "target" and value is not None]
    if not stated and not limits.target:
        return "limits", "at least one limit is needed"
    groups: list[tuple[str, Limits | TargetLimits]] = [("limits", limits)]
    groups += [(f"limits.target.{name}", target) for name, target in limits.target.items()]
    for prefix, group in groups:
        for name, value in structs.asdict(group).items():
            if name == "target" or value is None:
                continue
            if not math.isfinite(value) or (value < 0 and name != "metric_min"):
                return f"{prefix}.{name}", f"{value} is not a limit"
            if name in _SHARES and value > 1:
                return f"{prefix}.{name}", f"a share from 0 to 1 is expected, not {value}"
    return None
