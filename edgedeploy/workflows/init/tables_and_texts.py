"""What tables and texts leave open: which column is the label, and which tokenizer is the model's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from edgedeploy.datasets.dataset import open_dataset, reader_of
from edgedeploy.datasets.manifest import header
from edgedeploy.datasets.tables.parquet_file import parquet_columns
from edgedeploy.foundation.errors import DatasetError, EdgedeployError
from edgedeploy.inference.element_types import TEXT
from edgedeploy.values.data import DataSource
from edgedeploy.values.guess import Guess
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.preprocessing import TablePreprocessing, TextPreprocessing

_LABEL_NAMES = ("label", "labels", "target", "class", "y")
_TOKENIZER = "tokenizer.json"


def with_label_column(source: DataSource, facts: ModelFacts, guesses: list[Guess]) -> DataSource:
    """Return a table with its label's column: the one of a usual name, or the last, with which the others fit the
    model's inputs; as it is where it is stated, or the data is no table.

    Raises:
        DatasetError: no such column leaves columns that fit.
        InvalidFileError, HostError: the table cannot be read.
    """
    found = reader_of(source)
    if source.label_columns or found is None or found[0].preprocessing is not TablePreprocessing:
        return source
    path = Path(source.path)
    columns = parquet_columns(path) if found[0].name == "parquet" else header(path)
    refused: EdgedeployError | None = None
    for name, reason in _candidates(columns):
        stated = structs.replace(source, label_columns=(name,))
        try:
            open_dataset(stated, facts.inputs)
        except DatasetError as error:
            refused = refused or error
            continue
        guesses.append(Guess(key="label_columns", value=name, reason=f"{reason}, and the others fit the model"))
        return stated
    raise DatasetError(
        f"{source.path}: no column is known that could be the label",
        why=str(refused) if refused is not None else "it has no columns",
        hint='name data.toml instead, with path, label_columns = ["…"] and inputs',
    )


def _candidates(columns: Sequence[str]) -> list[tuple[str, str]]:
    named = [(name, "its name says so") for name in columns if name.lower() in _LABEL_NAMES]
    return [*named, *((name, "it is the last column") for name in columns[-1:] if name.lower() not in _LABEL_NAMES)]


def with_tokenizer(source: DataSource, model: Path, facts: ModelFacts, guesses: list[Guess]) -> DataSource:
    """Return texts with the `tokenizer.json` beside the model or beside the data; as they are where one is stated, or
    there is none, or the model takes text itself."""
    found = reader_of(source)
    takes_text = any(each.dtype == TEXT for each in facts.inputs)
    if "tokenizer" in source.preprocessing or takes_text or found is None:
        return source
    if found[0].preprocessing is not TextPreprocessing:
        return source
    for folder, reason in ((model.parent, "it is beside the model"), (Path(source.path).parent, "beside the data")):
        if (folder / _TOKENIZER).is_file():
            path = str(folder / _TOKENIZER)
            guesses.append(Guess(key="tokenizer", value=path, reason=reason))
            return structs.replace(source, preprocessing={**source.preprocessing, "tokenizer": path})
    return source
