"""Reading a contract: the hand-over from the people who trained a model."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from edgedeploy.foundation.callables import is_object_name
from edgedeploy.foundation.errors import EdgedeployError, InvalidFileError, UnsupportedError
from edgedeploy.foundation.files import sha256_file
from edgedeploy.foundation.toml_file import line_of, load_toml
from edgedeploy.foundation.validation import is_name, is_relative_path, is_sha256
from edgedeploy.values.bundle import ContractReference
from edgedeploy.values.contract import LIMIT_RULES, Contract, Limits, TargetLimits, stated_limits
from edgedeploy.values.metric_facts import METRIC_FACTS, is_share_metric, metric_facts

SCHEMA = 1
_LARGEST = (1 << 63) - 1
"""As TOML has it. NaN is not less."""
_WORDS = 200

_NEVER_FILES = ("data.metric", "data.head.kind")
_Mistake = tuple[tuple[str, ...], str]
"""The keys that lead to a value, and what is wrong with it."""


def load_contract(path: Path) -> Contract:
    """Read and validate a contract file. See `edgedeploy.values.contract` for its keys.

    A contract comes from other people, so the files that it names have to lie in its own folder or below. A dataset or
    metric that it names as `package.module:callable` is code; `refuse_code` refuses it, and nothing is imported here.

    Raises:
        InvalidFileError: it cannot be read, is not TOML, has an unknown key, a wrong type or a value out of range; the
            message names the line and the key.
    """
    contract = load_toml(path, Contract)
    for keys, message in _mistakes(contract):
        raise InvalidFileError(f"{path.absolute()}:{line_of(path, keys)}: {'.'.join(keys)}: {message}")
    reference = ContractReference(file=path.name, sha256=sha256_file(path), owner=contract.model.owner)
    return structs.replace(contract, folder=path.parent, reference=reference)


def has_expired(contract: Contract, day: datetime.date | None = None) -> bool:
    """Return whether a day is after the last one on which the contract holds; one without such a day never expires.

    Args:
        day: by default today in UTC.
    """
    last = contract.model.expires
    return last is not None and (day or datetime.datetime.now(datetime.UTC).date()) > last


def dataset_spec(contract: Contract, name: str) -> str:
    """Return a dataset that the contract names, as `open_dataset` takes it from any current folder.

    A path is relative to the contract's folder. `package.module:callable` is no path, but a file or folder of that name
    in the contract's folder wins.
    """
    path = contract.folder / name
    return name if is_object_name(name) and not path.exists() else str(path)


@contextlib.contextmanager
def naming(contract: Contract, *keys: str) -> Iterator[None]:
    """Where what a contract names is wrong, say so with the contract's path, the line and the key that names it.

    Raises:
        EdgedeployError: as the block raises it, with that before its words.
    """
    try:
        yield
    except EdgedeployError as error:
        reference = contract.reference
        where = "the contract"
        if reference is not None:
            path = contract.folder / reference.file
            where = str(path.absolute())
            with contextlib.suppress(OSError, UnicodeDecodeError):
                where += f":{line_of(path, keys)}"
        raise type(error)(f"{where}: {'.'.join(keys)}: {error.what}", why=error.why, hint=error.hint) from error


def named_code(contract: Contract) -> dict[str, str]:
    """List the Python code that the contract names, by the key that names it, e.g. `{"data.metric": "ours:score"}`."""
    data = contract.data
    head = data.head.kind if data.head is not None else None
    specs = {
        "data.metric": data.metric,
        "data.head.kind": head,
        "data.evaluation": data.evaluation,
        "data.calibration": data.calibration,
    }
    return {
        key: spec
        for key, spec in specs.items()
        if spec is not None and is_object_name(spec) and (key in _NEVER_FILES or dataset_spec(contract, spec) == spec)
    }


def refuse_code(contract: Contract) -> None:
    """Refuse a contract that names code: it comes from other people, and what it names would be imported and run.

    Raises:
        UnsupportedError: it names some; the message says which, and from where it would be imported.
    """
    if named := named_code(contract):
        raise UnsupportedError(
            f"the contract of {contract.model.name} {contract.model.version} names Python code: "
            + ", ".join(f"{key} = {spec}" for key, spec in named.items()),
            why=f"a contract comes from other people, and this code would be imported, from {Path.cwd()} too, and run",
            hint="read the code, then add --allow-code",
        )


def _mistakes(contract: Contract) -> Iterator[_Mistake]:
    if contract.schema != SCHEMA:
        yield ("schema",), f"this edgedeploy reads schema {SCHEMA}, the file has {contract.schema}"
    yield from _model_mistakes(contract)
    yield from _data_mistakes(contract)
    if not 0 < contract.optimization.time_budget_s <= _LARGEST:
        yield ("optimization", "time_budget_s"), f"{contract.optimization.time_budget_s} s is not a time to search in"
    yield from _limit_mistakes(contract.limits, shares=is_share_metric(contract.data.metric))
    yield from _direction_mistakes(contract)


def _model_mistakes(contract: Contract) -> Iterator[_Mistake]:
    model = contract.model
    for key, text in (("name", model.name), ("version", model.version)):
        if not is_name(text):
            rule = "use lower-case letters, digits, - _ and ., at most 64, a letter or digit first"
            yield ("model", key), f"{text!r} becomes part of paths on devices: {rule}"
    if not is_relative_path(model.file):
        yield ("model", "file"), f"{model.file!r} is not a path inside the contract's folder"
    if not is_sha256(model.sha256):
        yield ("model", "sha256"), "64 lower-case hexadecimal digits are expected, as sha256sum prints them"
    if model.owner is not None and not (
        model.owner.strip() and model.owner.isprintable() and len(model.owner) <= _WORDS
    ):
        yield ("model", "owner"), f"a name or an address on one line is expected, of at most {_WORDS} characters"
    if model.parameters is not None and not 1 <= model.parameters <= _LARGEST:
        yield ("model", "parameters"), f"{model.parameters} is not a number of parameters"


def _data_mistakes(contract: Contract) -> Iterator[_Mistake]:
    data = contract.data
    for key, spec in (("evaluation", data.evaluation), ("calibration", data.calibration)):
        if spec is not None and not is_relative_path(spec) and not is_object_name(spec):
            yield ("data", key), f"{spec!r} is not a path inside the contract's folder, nor package.module:callable"
    if data.evaluation_sha256 is not None and not is_sha256(data.evaluation_sha256):
        yield ("data", "evaluation_sha256"), "64 lower-case hexadecimal digits are expected, as sha256sum prints them"
    if metric_facts(data.metric) is None and not is_object_name(data.metric):
        known = ", ".join(METRIC_FACTS)
        yield ("data", "metric"), f"there is no metric {data.metric!r}; known: {known}, package.module:function"


def _direction_mistakes(contract: Contract) -> Iterator[_Mistake]:
    facts, metric = metric_facts(contract.data.metric), contract.data.metric
    if facts is None:
        return
    if facts.larger_is_better and contract.limits.metric_max is not None:
        yield ("limits", "metric_max"), f"of {metric} larger is better: state metric_min, its floor"
    if not facts.larger_is_better and contract.limits.metric_min is not None:
        yield ("limits", "metric_min"), f"of {metric} smaller is better: state metric_max, its ceiling"


def _limit_mistakes(limits: Limits, *, shares: bool) -> Iterator[_Mistake]:
    """
    Args:
        shares: whether the metric is one, so that 95 can only be meant as 0.95.
    """
    groups: dict[tuple[str, ...], Limits | TargetLimits] = {("limits",): limits}
    groups |= {("limits", "target", name): group for name, group in limits.target.items()}
    stated = 0
    for keys, group in groups.items():
        if not is_name(keys[-1]):
            yield keys[:-1], f"{keys[-1]!r} is not the name of a target"
        for name, value in stated_limits(group):
            stated += 1
            kind = LIMIT_RULES[name].kind
            if (kind == "share" or (shares and kind in ("metric", "drop"))) and not 0 <= value <= 1:
                yield (*keys, name), f"{value} is not a share from 0 to 1"
            # A metric of the user's own may have any range.
            elif not abs(value) <= _LARGEST or (value < 0 and kind != "metric"):
                yield (*keys, name), f"{value} is not a limit"
    if not stated:
        yield ("limits",), f"at least one limit is needed, of: {', '.join(_limit_names())}"


def _limit_names() -> list[str]:
    general = [name for name in Limits.__struct_fields__ if name in LIMIT_RULES]
    return [*general, *(f"target.NAME.{name}" for name in TargetLimits.__struct_fields__)]
