"""Texts as samples: with classes or numbers for labels, the tokens that follow, or pairs that belong together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from edgedeploy.datasets.class_labels import ClassLabels
from edgedeploy.datasets.manifest import ManifestRow, OnBroken, header, pass_over, refuse, rows
from edgedeploy.datasets.prepared import Prepared, PreparedSamples
from edgedeploy.datasets.preprocessing.declared import declared_preprocessing
from edgedeploy.datasets.text.tensors import text_inputs
from edgedeploy.datasets.text.tokenizer import TextTokenizer
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.foundation.files import sha256_file
from edgedeploy.values.data import DataSource, Task
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import TextPreprocessing

TEXT_KEY, PAIR_KEY, LABEL_KEY, QUERY_KEY, POSITIVE_KEY = "text", "pair", "label", "query", "positive"
TextKind = Literal["class", "next tokens", "pairs", ""]
_TASKS: Mapping[str, Task] = {"class": "text", "": "text", "next tokens": "language-model", "pairs": "embedding"}
_TOKENIZED = 200
"""Texts, when the data is opened, to say how many are cut; they take some 10 ms."""


class Texts(PreparedSamples):
    """The texts of a file of JSON lines, or of a CSV file."""

    def __init__(self, source: DataSource, path: Path, inputs: Sequence[TensorFacts]) -> None:
        """
        Raises:
            DatasetError: a row has no text or label, or the model is none of text.
            InvalidFileError: the file or the tokenizer cannot be read.
            HostError: tokenizers is not installed.
        """
        super().__init__(source, inputs, ("label_columns",))
        self._path = path
        self._text_inputs = text_inputs(source.path, inputs)
        self._label_key, self._kind = _kind(source, header(path, pass_over if source.skip_broken else refuse), path)
        self.has_labels = bool(self._kind)
        self.task = self.task or _TASKS[self._kind]
        self._tokenizer = self._load_tokenizer(source)
        if self._kind == "next tokens" and self._tokenizer is None:
            raise DatasetError(f"{source.path}: the model takes text itself, and no tokens are there to follow")
        self._classes = ClassLabels(source.class_names)
        count = self._look()
        self.notes = (*self._classes.notes, *self._cut_said())
        if self._classes.is_named:
            self.class_names = self._classes.names
        self._ready(count * (2 if self._kind == "pairs" else 1))

    def prepared(self, broken: OnBroken) -> Iterator[Prepared]:
        number = 0
        for row in rows(self._path, broken):
            try:
                found = self._prepare(row, number)
            except DatasetError as error:
                broken(error)
                continue
            number += 1
            yield from found

    def class_counts(self) -> Sequence[int] | None:
        return self._classes.counts() if self._kind == "class" else None

    def digests(self) -> Iterator[str]:
        yield sha256_file(self._path)
        if self._tokenizer is not None:
            yield self._tokenizer.sha256

    def _load_tokenizer(self, source: DataSource) -> TextTokenizer | None:
        if self._text_inputs.ids is None:
            return None
        if "tokenizer" not in source.preprocessing:
            raise DatasetError(
                f"{source.path}: the model takes tokens, and no tokenizer is stated",
                hint='state it in data.toml: tokenizer = "tokenizer.json" under [preprocessing]',
            )
        preprocessing = declared_preprocessing(source, TextPreprocessing)
        fixed = self._text_inputs.length
        if preprocessing.length is not None and fixed not in (None, preprocessing.length):
            raise DatasetError(
                f"{source.path}: length = {preprocessing.length}, and the model takes {fixed} tokens",
                hint="leave length out",
            )
        self.preprocessing = preprocessing
        return TextTokenizer(preprocessing, preprocessing.length or fixed)

    def _look(self) -> int:
        """Go through all rows: their texts and labels; return how many there are."""
        broken: OnBroken = pass_over if self._source.skip_broken else refuse
        count = 0
        for row in rows(self._path, broken):
            try:
                self._texts(row)
                if self._kind == "class":
                    self._classes.observe(_label(row, self._label_key, self._where(row)), self._where(row))
            except DatasetError as error:
                broken(error)
                continue
            count += 1
        if self._kind == "class":
            self._classes.decide(self.spec)
        return count

    def _cut_said(self) -> Iterator[str]:
        """Say how many of the first texts are longer than what the model is given of them."""
        if self._tokenizer is None:
            return
        looked_at = cut = 0
        for row in itertools.islice(rows(self._path, pass_over), _TOKENIZED):
            try:
                text, other = self._texts(row)
                tokens = self._tokenizer.tokens(text, None if self._kind == "pairs" else other, self._where(row))
            except DatasetError:
                continue
            looked_at += 1
            cut += tokens.was_cut
        if cut:
            yield f"{cut:,} of the first {looked_at:,} texts have more tokens than the model is given, and are cut"

    def _where(self, row: ManifestRow) -> str:
        return f"{self._path}, line {row.line}"

    def _texts(self, row: ManifestRow) -> tuple[str, str | None]:
        """Return the two texts of a row, or one and None."""
        first, second = (QUERY_KEY, POSITIVE_KEY) if self._kind == "pairs" else (TEXT_KEY, PAIR_KEY)
        text, other = row.fields.get(first), row.fields.get(second)
        for key, value, needed in ((first, text, True), (second, other, self._kind == "pairs")):
            if (needed or value is not None) and not isinstance(value, str):
                found = f"is {value!r:.40}" if key in row.fields else "is missing"
                raise DatasetError(f"{self._where(row)}: the key {key!r} {found}, expected a text")
        return str(text), other

    def _prepare(self, row: ManifestRow, number: int) -> list[Prepared]:
        where = self._where(row)
        text, other = self._texts(row)
        if self._kind == "pairs" and other is not None:
            return [self._one(each, None, number, where) for each in (text, other)]
        label = None
        if self._kind == "class":
            label = self._classes.number(_label(row, self._label_key, where), where)
        return [self._one(text, other, label, where)]

    def _one(self, text: str, pair: str | None, label: Any, where: str) -> Prepared:
        if self._tokenizer is None:
            return Prepared(self._text_inputs.arrays(None, text), label, where)
        tokens = self._tokenizer.tokens(text, pair, where)
        if self._kind == "next tokens":
            label = tokens.following
            if (label < 0).all():
                raise DatasetError(f"{where}: no token follows another, so there is nothing to predict")
        return Prepared(self._text_inputs.arrays(tokens, text), label, where)


def _label(row: ManifestRow, key: str, where: str) -> Any:
    if key not in row.fields:
        raise DatasetError(f"{where} has no key {key!r}, unlike the first row")
    return row.fields[key]


def _kind(source: DataSource, keys: Sequence[str], path: Path) -> tuple[str, TextKind]:
    """Return the key of the label, and what labels are."""
    if TEXT_KEY not in keys and not {QUERY_KEY, POSITIVE_KEY} <= set(keys):
        raise DatasetError(
            f"{path} has no texts",
            why=f"expected a key {TEXT_KEY!r}, or {QUERY_KEY!r} and {POSITIVE_KEY!r}; found: "
            f"{', '.join(keys[:12]) or 'nothing'}",
        )
    if TEXT_KEY not in keys:
        return "", "pairs"
    if source.task == "language-model":
        return "", "next tokens"
    if len(source.label_columns) > 1:
        raise DatasetError(f"{path}: label_columns names several, and a text has one")
    key = source.label_columns[0] if source.label_columns else LABEL_KEY
    if source.label_columns and key not in keys:
        raise DatasetError(f"{path}: there is no key {key!r}", why=f"found: {', '.join(keys[:12])}")
    return (key, "class") if key in keys else ("", "")
