"""Reading a contract: the hand-over from the people who trained a model."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from edgedeploy.datasets.source import load_source, resolved, resolved_preprocessing, source_paths, with_defaults
from edgedeploy.foundation.callables import is_object_name
from edgedeploy.foundation.errors import EdgedeployError, InvalidFileError, UnsupportedError
from edgedeploy.foundation.files import sha256_file
from edgedeploy.foundation.toml_file import line_of, load_toml
from edgedeploy.foundation.validation import is_name, is_relative_path, is_sha256
from edgedeploy.values.bundle import ContractReference
from edgedeploy.values.contract import LIMIT_RULES, Contract, Limits, TargetLimits, stated_limits
from edgedeploy.values.data import DatasetSpec, DataSource, dataset_name
from edgedeploy.values.metric_facts import METRIC_FACTS, is_share_metric, metric_facts

SCHEMA = 1
_LARGEST = (1 << 63) - 1
"""As TOML has it. NaN is not less."""
_WORDS = 200

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


def dataset_spec(contract: Contract, declared: DatasetSpec) -> DatasetSpec:
    """Return a dataset that the contract names, as `open_dataset` takes it from any current folder.

    A path is relative to the contract's folder. `package.module:callable` is no path, but a file or folder of that name
    in the contract's folder wins. `preprocessing` and `head` of `[data]` hold where the dataset's own are silent.

    Raises:
        InvalidFileError: it is a `data.toml` that is malformed, or that names files outside the contract's folder.
    """
    name = dataset_name(declared)
    data = contract.data
    path = contract.folder / name
    if is_object_name(name) and not path.exists():
        source = DataSource(path=name) if isinstance(declared, str) else declared
    elif isinstance(declared, DataSource):
        source = resolved(declared, contract.folder)
    elif path.suffix == ".toml" and path.is_file():
        source = load_source(path)
        _check_inside(path, source, contract.folder)
    else:
        source = DataSource(path=str(path))
    source = with_defaults(source, resolved_preprocessing(data.preprocessing, contract.folder), data.head)
    return source.path if source == DataSource(path=source.path) else source


def _check_inside(path: Path, source: DataSource, folder: Path) -> None:
    """Refuse a `data.toml` that leads out of the contract's folder.

    Args:
        source: with its paths resolved.
    """
    top = os.path.normpath(folder.absolute())
    for key, named in source_paths(source).items():
        if os.path.commonpath([top, os.path.normpath(Path(named).absolute())]) != top:
            where = f"{path.absolute()}:{line_of(path, tuple(key.split('.')))}"
            raise InvalidFileError(
                f"{where}: {key}: {named} is not inside the contract's folder",
                why=f"that is {top}, and a contract comes from other people",
                hint="copy the data into that folder",
            )


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
    named = {"data.metric": data.metric, "data.head.kind": data.head.kind if data.head is not None else ""}
    for key, declared in (("data.evaluation", data.evaluation), ("data.calibration", data.calibration)):
        if declared is None:
            continue
        path = contract.folder / dataset_name(declared)
        if not path.exists():
            named[key] = dataset_name(declared)
        source = declared
        if isinstance(declared, str) and path.suffix == ".toml":
            # One that is missing or malformed is reported by those who open it.
            with contextlib.suppress(InvalidFileError):
                source = load_source(path)
        if isinstance(source, DataSource) and source.head is not None:
            named[f"{key}.head.kind"] = source.head.kind
    return {key: name for key, name in named.items() if is_object_name(name)}


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
        if isinstance(spec, DataSource):
            for field, path in source_paths(spec).items():
                if not is_relative_path(path) and not (field == "path" and is_object_name(path)):
                    yield ("data", key, *field.split(".")), f"{path!r} is not a path inside the contract's folder"
        elif spec is not None and not is_relative_path(spec) and not is_object_name(spec):
            yield ("data", key), f"{spec!r} is not a path inside the contract's folder, nor package.module:callable"
    tokenizer = data.preprocessing.get("tokenizer")
    if isinstance(tokenizer, str) and not is_relative_path(tokenizer):
        where = ("data", "preprocessing", "tokenizer")
        yield where, f"{tokenizer!r} is not a path inside the contract's folder"
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
