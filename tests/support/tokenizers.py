"""A small tokenizer for tests: whole words, with the marks that BERT puts around them."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors

_MARKED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "bad", "film")
_PLAIN = ("a", "good", "bad", "film", "[UNK]")


def save_tokenizer(path: Path, *, special: bool = True) -> str:
    """Write a `tokenizer.json`; without special tokens it knows none to fill with."""
    words = {word: number for number, word in enumerate(_MARKED if special else _PLAIN)}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.save(str(path))
    return str(path)
