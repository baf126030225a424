"""A dataset as it is declared: `data.toml`, or the same keys as a table of a contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import structs

from edgedeploy.foundation.toml_file import load_toml
from edgedeploy.values.data import DatasetSpec, DataSource
from edgedeploy.values.head import Head

_TOKENIZER = "preprocessing.tokenizer"


def load_source(path: Path) -> DataSource:
    """Read a `data.toml`; the paths in the result are those of its folder.

    Raises:
        InvalidFileError: it cannot be read, is not TOML, has an unknown key or a wrong type; the message names file,
            line and key.
    """
    return resolved(load_toml(path, DataSource), path.parent)


def stated_source(spec: str, *, preset: str = "", skip_broken: bool = False) -> DatasetSpec:
    """Return a dataset with what a command line says beside its name.

    Args:
        preset: of its preprocessing; takes the place of one that a `data.toml` names. Empty: as that says.
        skip_broken: leave out samples that cannot be read.

    Raises:
        InvalidFileError: as `load_source`.
    """
    if not preset and not skip_broken:
        return spec
    path = Path(spec)
    source = load_source(path) if path.suffix == ".toml" and path.is_file() else DataSource(path=spec)
    preprocessing = {**source.preprocessing, "preset": preset} if preset else source.preprocessing
    return structs.replace(source, preprocessing=preprocessing, skip_broken=skip_broken or source.skip_broken)


def resolved(source: DataSource, folder: Path) -> DataSource:
    """Return a source whose paths, relative to `folder` so far, can be opened from the current folder."""
    preprocessing = resolved_preprocessing(source.preprocessing, folder)
    return structs.replace(
        source,
        path=str(folder / source.path),
        labels=str(folder / source.labels) if source.labels else "",
        preprocessing=preprocessing,
    )


def resolved_preprocessing(preprocessing: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a preprocessing whose tokenizer, relative to `folder` so far, can be opened from the current folder."""
    tokenizer = preprocessing.get("tokenizer")
    return {**preprocessing, "tokenizer": str(folder / tokenizer)} if isinstance(tokenizer, str) else preprocessing


def source_paths(source: DataSource) -> dict[str, str]:
    """List the files and folders that a source names, by the key that names each, e.g. `{"path": "val"}`."""
    named = {"path": source.path, "labels": source.labels, _TOKENIZER: source.preprocessing.get("tokenizer", "")}
    return {key: path for key, path in named.items() if path and isinstance(path, str)}


def with_defaults(source: DataSource, preprocessing: dict[str, Any], head: Head | None) -> DataSource:
    """Return a source that takes from elsewhere what it does not say itself."""
    return structs.replace(source, preprocessing={**preprocessing, **source.preprocessing}, head=source.head or head)
