"""The parts of a new contract's text: TOML of values, and paths relative to its folder."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct, structs

from edgedeploy.datasets.source import load_source, source_paths, with_defaults
from edgedeploy.foundation.callables import is_object_name
from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.values.data import DatasetSpec, DataSource
from edgedeploy.values.head import Head


class ProposedData(Protocol):
    """What a proposal says of its data."""

    @property
    def evaluation(self) -> DatasetSpec: ...
    @property
    def calibration(self) -> DatasetSpec | None: ...
    @property
    def preprocessing(self) -> dict[str, Any]: ...
    @property
    def head(self) -> Head | None: ...


def completed(spec: DatasetSpec, preprocessing: dict[str, Any], head: Head | None) -> DatasetSpec:
    """Return a dataset with the preprocessing and head that a contract declares for all of its data."""
    if not preprocessing and head is None:
        return spec
    if isinstance(spec, str):
        path = Path(spec)
        spec = load_source(path) if path.suffix == ".toml" and path.is_file() else DataSource(path=spec)
    return with_defaults(spec, preprocessing, head)


def data_lines(proposal: ProposedData, folder: Path, sha256: str, metric: str) -> list[str]:
    """Return the table `[data]`, without its heading.

    Args:
        folder: of the contract.
        sha256: of the evaluation data.

    Raises:
        InvalidFileError: data lies elsewhere.
    """
    plain: dict[str, str | int | datetime.date | None] = {}
    tables: list[str] = []
    for key, spec in (("evaluation", proposal.evaluation), ("calibration", proposal.calibration)):
        if isinstance(spec, DataSource):
            tables += toml_table(f"data.{key}", _stated(_moved(spec, folder)))
        elif spec is not None:
            plain[key] = _named(spec, folder)
        if key == "evaluation":
            plain["evaluation_sha256"] = sha256
    plain["metric"] = metric
    tokenizer = proposal.preprocessing.get("tokenizer")
    moved = {"tokenizer": _named(tokenizer, folder)} if isinstance(tokenizer, str) else {}
    tables += toml_table("data.preprocessing", {**proposal.preprocessing, **moved})
    if proposal.head is not None:
        tables += toml_table("data.head", _stated(proposal.head))
    return [*toml_pairs(**plain), *tables]


def toml_pairs(**values: str | int | datetime.date | None) -> list[str]:
    """Return a line for each value that there is."""
    return [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]


def toml_table(name: str, values: Mapping[str, Any]) -> list[str]:
    """Return a table with its heading and the tables in it; nothing where it has no values."""
    if not values:
        return []
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    lines = ["", f"[{name}]", *(f"{_key(key)} = {_toml(value)}" for key, value in plain.items())]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += toml_table(f"{name}.{_key(key)}", value)
    return lines


def relative_path(path: Path, folder: Path) -> str:
    """Return a path relative to the contract's folder.

    Raises:
        InvalidFileError: it lies elsewhere.
    """
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        raise InvalidFileError(
            f"{path} does not lie in the contract's folder",
            why=f"that is {folder.resolve()}: a hand-over is one folder",
            hint="copy it there, or write the contract beside it with -o",
        ) from None


def _stated(value: Struct) -> dict[str, Any]:
    """Return the fields that differ from their defaults, as TOML has them."""
    names, defaults = value.__struct_fields__, dict(_defaults(type(value)))
    found = {name: getattr(value, name) for name in names if getattr(value, name) != defaults.get(name, _NONE)}
    return {name: msgspec.to_builtins(each, order="deterministic") for name, each in found.items()} | {
        name: _stated(each) for name, each in found.items() if isinstance(each, Struct)
    }


_NONE = object()


def _defaults(kind: type[Struct]) -> list[tuple[str, Any]]:
    fields = structs.fields(kind)
    return [
        (field.name, field.default if field.default is not msgspec.NODEFAULT else field.default_factory())
        for field in fields
        if field.default is not msgspec.NODEFAULT or field.default_factory is not msgspec.NODEFAULT
    ]


def _moved(source: DataSource, folder: Path) -> DataSource:
    """Return a source whose paths are those of the contract's folder."""
    paths = {key: _named(path, folder) for key, path in source_paths(source).items()}
    preprocessing = dict(source.preprocessing)
    if tokenizer := paths.get("preprocessing.tokenizer"):
        preprocessing["tokenizer"] = tokenizer
    labels = paths.get("labels", "")
    return structs.replace(source, path=paths["path"], labels=labels, preprocessing=preprocessing)


def _named(spec: str, folder: Path) -> str:
    return spec if is_object_name(spec) and not Path(spec).exists() else relative_path(Path(spec), folder)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _toml(value: Any) -> str:
    # A TOML string is a JSON string, but for DEL, which is escaped in TOML (https://toml.io/en/v1.0.0#string).
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Sequence):
        return f"[{', '.join(_toml(each) for each in value)}]"
    return str(value)
