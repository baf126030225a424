"""The table `[preprocessing]` of a `data.toml`, as the kind of data has it."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.values.data import DataSource

Kind = TypeVar("Kind", bound=Struct)


def declared_preprocessing(source: DataSource, kind: type[Kind]) -> Kind:
    """Return the preprocessing that a source declares.

    Args:
        kind: `AudioPreprocessing`, `TablePreprocessing` or `TextPreprocessing`.

    Raises:
        DatasetError: a key is unknown or missing, or a value has another type.
    """
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for key in source.preprocessing:
        if key not in known:
            raise DatasetError(
                f"{source.path}: [preprocessing] has no key {key!r} for such data",
                why=f"known: {', '.join(known)}",
                hint=did_you_mean(key, known, "leave it out"),
            )
    try:
        return msgspec.convert(source.preprocessing, kind, strict=True)
    except msgspec.ValidationError as error:
        raise DatasetError(f"{source.path}: [preprocessing]: {error}") from error
