"""Which language a short text is in: messages that Django is translated to."""

from __future__ import annotations

import ast
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tasks.base import BenchTask
from tasks.files import save_json_lines, save_toml
from tasks.workshop import Workshop

LANGUAGES = tuple("bg ca cs da de el es et fi fr hr hu it lt lv nb nl pl pt ro ru sk sl sr sv tr uk vi".split())
_LENGTH, _TOKENS = 48, 4000
_CALIBRATION, _EVALUATION = 200, 1000
_SHORTEST = 12
_PLACEHOLDER = re.compile(r"%\([a-z_]+\)[a-z]|%[a-z]|\{[^}]*\}|<[^>]+>|\\n|&\w+;")


def messages(catalogue: Path) -> Iterator[tuple[str, str]]:
    """Each English message of a `.po` file with its translation; plural forms and doubtful ones are left out."""
    for block in catalogue.read_text(encoding="utf-8").split("\n\n"):
        if "#, fuzzy" in block or "msgid_plural" in block:
            continue
        parts = {"msgid": "", "msgstr": ""}
        key = ""
        for line in block.splitlines():
            word, _, rest = line.partition(" ")
            if word in parts:
                key = word
            elif line.startswith('"'):
                rest = line
            else:
                key = ""
            if key and rest.startswith('"'):
                parts[key] += ast.literal_eval(rest)
        if parts["msgid"] and parts["msgstr"]:
            yield parts["msgid"], parts["msgstr"]


def texts(workshop: Workshop) -> dict[str, list[tuple[str, int]]]:
    """Text and language of `"training"`, `"calibration"` and `"evaluation"`: no message is in two of them, in whatever
    language."""
    folder = workshop.packages / "django"
    found: dict[str, set[tuple[str, int]]] = {}
    for place, language in enumerate(LANGUAGES):
        for catalogue in sorted(folder.rglob(f"locale/{language}/LC_MESSAGES/*.po")):
            for english, translated in messages(catalogue):
                text = " ".join(_PLACEHOLDER.sub(" ", translated).split())
                if len(text) >= _SHORTEST and translated != english:
                    found.setdefault(english, set()).add((text, place))
    order = sorted(found)
    random.Random(1).shuffle(order)
    border = len(order) * 7 // 10
    learned = [pair for english in order[:border] for pair in sorted(found[english])]
    known = {text for text, _ in learned}
    rest = [pair for english in order[border:] for pair in sorted(found[english]) if pair[0] not in known]
    random.Random(2).shuffle(rest)
    return {
        "training": learned,
        "calibration": rest[:_CALIBRATION],
        "evaluation": rest[_CALIBRATION : _CALIBRATION + _EVALUATION],
    }


def _tokenizer(learned: list[tuple[str, int]], path: Path) -> None:
    """Byte-pair encoding of what is learned, as a `tokenizer.json`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=_TOKENS, special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    made.train_from_iterator((text for text, _ in learned), trainer)
    made.enable_padding(pad_id=0, pad_token="[PAD]", length=_LENGTH)
    made.enable_truncation(_LENGTH)
    made.save(str(path))


def _prepare(workshop: Workshop, folder: Path) -> None:
    from tokenizers import Tokenizer

    parts = texts(workshop)
    _tokenizer(parts["training"], folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoded = tokenizer.encode_batch([text for text, _ in parts["training"]])
    arrays = {
        "tokens": np.array([each.ids for each in encoded], dtype=np.int64),
        "labels": np.array([label for _, label in parts["training"]], dtype=np.int64),
        "tokens_count": np.array(tokenizer.get_vocab_size(), dtype=np.int64),
        "classes": np.array(len(LANGUAGES), dtype=np.int64),
    }
    shutil.copyfile(workshop.trained("text_classes", arrays), folder / "model.onnx")
    for part in ("calibration", "evaluation"):
        rows = ({"text": text, "label": LANGUAGES[label]} for text, label in parts[part])
        save_json_lines(folder / f"{part}.jsonl", rows)
        source = {
            "path": f"{part}.jsonl",
            "format": "text-jsonl",
            "task": "text",
            "class_names": LANGUAGES,
            "preprocessing": {"tokenizer": "tokenizer.json", "length": _LENGTH},
        }
        save_toml(folder / f"{part}.toml", source)


TASK = BenchTask(
    name="languages",
    kind="text classification",
    about="28 languages, an embedding of tokens and convolutions",
    origin="trained here",
    judged_by="messages of Django's translations; no message that was learned, in any language",
    metric="top1",
    max_drop="0.01",
    prepare=_prepare,
)
