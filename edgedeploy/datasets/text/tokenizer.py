"""A `tokenizer.json` (https://huggingface.co/docs/tokenizers), and the tokens that it makes of a text."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.library import library
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import TOKENIZER, read_file
from edgedeploy.inference.text import TEXT_LIMIT_CHARACTERS
from edgedeploy.values.preprocessing import TextPreprocessing

_PADDING_TOKENS = ("[PAD]", "<pad>", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>")
_MOST_TOKENS = 1 << 20


class Tokens(Struct, frozen=True, eq=False):
    """Of one text, each int64, shape (tokens,)."""

    ids: np.ndarray
    mask: np.ndarray
    """1 for a token of the text, 0 for what fills it up."""
    types: np.ndarray
    """0 for the first text, 1 for its pair, where the tokenizer tells them apart."""
    was_cut: bool
    """The text has more tokens."""

    @property
    def positions(self) -> np.ndarray:
        """Of each token of the text, from 0; 0 for what fills it up."""
        counted: np.ndarray = np.maximum(np.cumsum(self.mask) - 1, 0)
        return counted

    @property
    def following(self) -> np.ndarray:
        """The token that follows each; -100 where none does, as labels of language models have it."""
        labels = np.full(len(self.ids), -100, np.int64)
        counted = (self.mask[:-1] == 1) & (self.mask[1:] == 1)
        labels[:-1][counted] = self.ids[1:][counted]
        return labels


class TextTokenizer:
    """A tokenizer, set to one length."""

    def __init__(self, preprocessing: TextPreprocessing, length: int | None) -> None:
        """
        Args:
            length: of all texts, in tokens: longer ones are cut, shorter ones filled. None: as the tokenizer itself
                cuts them, and not filled.

        Raises:
            InvalidFileError: the file cannot be read, or is no tokenizer.
            DatasetError: the length is none, or nothing is known to fill with.
            HostError: tokenizers is not installed.
        """
        self.path = Path(preprocessing.tokenizer)
        if self.path.is_dir():
            self.path = self.path / "tokenizer.json"
        if length is not None and not 1 <= length <= _MOST_TOKENS:
            raise DatasetError(f"[preprocessing]: length = {length}, expected 1 to {_MOST_TOKENS:,}")
        try:
            content = read_file(self.path, TOKENIZER)
        except OSError as error:
            raise unreadable(self.path, error) from error
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._length = length
        self._tokenizer = _parsed(self.path, content)
        own = self._tokenizer.padding or {}
        self._padding_id = self._known_padding(preprocessing, own)
        self._tokenizer.no_padding()
        self._left = own.get("direction") == "left"
        if length is not None:
            try:
                self._tokenizer.enable_truncation(length)
            except Exception as error:
                raise DatasetError(f"{self.path} cannot cut texts to {length} tokens", why=str(error)) from error

    def tokens(self, text: str, pair: str | None, where: str) -> Tokens:
        """Return the tokens of a text, or of a pair of texts.

        Raises:
            DatasetError: it is far too long, has no tokens, or has to be filled and nothing is known to fill with.
        """
        for each in (text, pair or ""):
            if len(each) > TEXT_LIMIT_CHARACTERS:
                raise DatasetError(
                    f"{where}: a text of {len(each):,} characters", why=f"{TEXT_LIMIT_CHARACTERS:,} are read"
                )
        try:
            encoded = self._tokenizer.encode(text, pair)
        except BaseException as error:
            if not _is_the_tokenizers(error):
                raise
            raise DatasetError(f"{where}: {self.path.name} cannot take the text", why=str(error)) from error
        if not encoded.ids:
            raise DatasetError(f"{where}: the text has no tokens")
        columns = [np.array(each, np.int64) for each in (encoded.ids, encoded.attention_mask, encoded.type_ids)]
        missing = (self._length or len(columns[0])) - len(columns[0])
        if missing > 0:
            if self._padding_id is None:
                raise DatasetError(
                    f"{where}: {len(columns[0])} tokens are to be filled to {self._length}",
                    why=f"{self.path} has no token for that",
                    hint="state padding_id under [preprocessing]",
                )
            place = (missing, 0) if self._left else (0, missing)
            fills = (self._padding_id, 0, 0)
            columns = [np.pad(each, place, constant_values=fill) for each, fill in zip(columns, fills, strict=True)]
        ids, mask, types = columns
        return Tokens(ids, mask, types, was_cut=bool(encoded.overflowing))

    def _known_padding(self, preprocessing: TextPreprocessing, own: dict[str, Any]) -> int | None:
        if preprocessing.padding_id is not None:
            return preprocessing.padding_id
        if "pad_id" in own:
            return int(own["pad_id"])
        found = (self._tokenizer.token_to_id(token) for token in _PADDING_TOKENS)
        return next((number for number in found if number is not None), None)


def _parsed(path: Path, content: bytes) -> Any:
    tokenizers = library("tokenizers", "text", "texts")
    try:
        return tokenizers.Tokenizer.from_buffer(content)
    except BaseException as error:
        if not _is_the_tokenizers(error):
            raise
        raise InvalidFileError(
            f"{path} is no tokenizer.json",
            why=str(error)[:200],
            hint='write it with transformers: AutoTokenizer.from_pretrained("…").backend_tokenizer.save("…")',
        ) from error


def _is_the_tokenizers(error: BaseException) -> bool:
    """Return whether the library raised it: an exception, or a panic of Rust, which is none to Python."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
