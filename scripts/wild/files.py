"""Labelled bytes and words for the corpus: files by their kind, Russian words by their parts, Arabic names in Latin."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import random
import sqlite3
import sysconfig
import tarfile
import wave
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from wild.pictures import scenes

Arrays = dict[str, np.ndarray]
Runner = Callable[[dict[str, np.ndarray]], list[np.ndarray]]
"""Runs a float model."""

PADDING = -1
_HEAD = _TAIL = 1024
_BLOCK = 4096
_NO_BYTE = 256
"""magika's features (magika 1.0.3, config.min.json): the first and last 1024 bytes, 256 for none."""
_PER_KIND = 24
"""At most so many files of one kind: else nearly all would be Python."""


def file_features(content: bytes) -> np.ndarray:
    """magika's input for one file: int32 (2048,). As `Magika._extract_features_from_seekable` does it."""
    head = content[:_BLOCK].lstrip()
    tail = content[-_BLOCK:].rstrip()
    if len(content) <= _BLOCK:
        head = tail = content.strip()
    features = np.full(_HEAD + _TAIL, _NO_BYTE, dtype=np.int32)
    first, last = np.frombuffer(head[:_HEAD], np.uint8), np.frombuffer(tail[-_TAIL:], np.uint8)
    features[: len(first)] = first
    features[_HEAD + _TAIL - len(last) :] = last
    return features


def files_by_kind(package: Path, folders: list[Path], count: int, seed: int) -> Arrays:
    """Files of this machine and files made here, labelled by their extension.

    Args:
        package: the folder `magika`, for its table of extensions and its list of classes.
        folders: where to look, beside Python's standard library.
        count: samples wanted; fewer are given when there are not as many.
        seed: of the choice.

    Returns:
        bytes: int32 (samples, 2048); labels: int64 (samples,). Shuffled, no two alike.
    """
    table = json.loads((package / "config" / "content_types_kb.min.json").read_text(encoding="utf-8"))
    config = json.loads((package / "models" / "standard_v3_3" / "config.min.json").read_text(encoding="utf-8"))
    kinds = config["target_labels_space"]
    by_extension: dict[str, list[str]] = defaultdict(list)
    for kind in kinds:
        for extension in table[kind]["extensions"]:
            by_extension[extension].append(kind)
    known = {extension: found[0] for extension, found in by_extension.items() if len(found) == 1}
    rng = random.Random(seed)
    paths: dict[str, list[Path]] = defaultdict(list)
    for folder in [Path(sysconfig.get_paths()["stdlib"]), *folders]:
        for path in sorted(folder.rglob("*")):
            kind = known.get(path.suffix[1:].lower())
            if kind is not None and path.is_file() and not path.is_symlink():
                paths[kind].append(path)
    samples: dict[bytes, int] = {}
    for kind, found in sorted(paths.items()):
        rng.shuffle(found)
        for path in found[:_PER_KIND]:
            _add_file(samples, _read(path), kinds.index(kind))
    for kind, content in _made_files(rng):
        _add_file(samples, content, kinds.index(kind))
    features = list(samples.items())
    rng.shuffle(features)
    chosen = features[:count]
    return {
        "bytes": np.stack([np.frombuffer(key, np.int32) for key, _ in chosen]),
        "labels": np.array([label for _, label in chosen], dtype=np.int64),
    }


def word_parts(package: Path, count: int, seed: int, letters: int = 24) -> Arrays:
    """Russian words with the class of each letter (prefix, root, suffix …; begin, inside, end or single of it).

    From Tikhonov's dictionary, which the wheel ships with the model; most of these words were in its training set
    (80 % of the dictionary), so that the figure says what quantization loses, not how good the model is.

    Returns:
        input_layer: int32 (count, letters); labels: int64 (count, letters), `PADDING` behind the last letter.
    """
    folder = package / "models" / "slovorez-test"
    mapping = json.loads((folder / "config.json").read_text(encoding="utf-8"))["mapping"]
    classes, letter_ids = mapping["label2id"], mapping["tokenizer_vocab"]
    part_names = {2: "PREF", 3: "ROOT", 4: "SUFF", 5: "END", 6: "POSTFIX", 7: "LINK", 8: "HYPH"}
    words = json.loads((folder / "base_dict.json").read_text(encoding="utf-8"))
    usable = sorted(word for word in words if 4 <= len(word) < letters and set(word) <= set(letter_ids))
    x = np.zeros((count, letters), dtype=np.int32)
    labels = np.full((count, letters), PADDING, dtype=np.int64)
    for index, word in enumerate(random.Random(seed).sample(usable, count)):
        x[index, : len(word)] = [letter_ids[letter] for letter in word]
        names = [
            f"{place}-{part_names[part]}"
            for text, part in words[word]["morphemes"]
            for place in ("S" if len(text) == 1 else "B" + "I" * (len(text) - 2) + "E")
        ]
        labels[index, : len(word)] = [classes[name] for name in names]
    return {"input_layer": x, "labels": labels}


def arabic_names(package: Path, count: int, seed: int, letters: int = 16) -> Arrays:
    """Names for the romanizer's encoder: src int64 (count, 1, letters), src_mask bool, true behind the last."""
    tokens, pairs = _names(package, count, seed, letters)
    src = np.zeros((count, 1, letters), dtype=np.int64)
    for index, (source, _) in enumerate(pairs):
        src[index, 0, : len(source)] = [tokens[token] for token in source]
    return {"src": src, "src_mask": src == 0}


def next_letters(package: Path, encoder: Runner, decoder: Runner, count: int, seed: int, letters: int = 16) -> Arrays:
    """Steps of the romanizer's decoder, each with the state that the float model has there.

    Args:
        package: the folder `arabic_name_romanizer`.
        encoder: takes `src` and `src_mask`.
        decoder: takes `prefix`, `memory`, `src_mask` and `hidden`.
        count: steps.
        seed: of the choice.
        letters: of a name at most, country and end included.

    Returns:
        prefix int64 (count, 1, 1): the letter before; memory, src_mask, hidden; labels int64 (count,): the next letter
        as the names' table has it. A name can be written in several ways, so no model gets all of them.
    """
    tokens, pairs = _names(package, count, seed, letters)
    steps: dict[str, list[np.ndarray]] = defaultdict(list)
    labels: list[int] = []
    rng = random.Random(seed + 1)
    for source, latin in pairs:
        src = np.zeros((1, letters), dtype=np.int64)
        src[0, : len(source)] = [tokens[token] for token in source]
        memory, mask, hidden = encoder({"src": src, "src_mask": src == 0})
        target = [tokens["<BOS>"], *(tokens[letter] for letter in latin), tokens["<EOS>"]]
        stop = rng.randrange(len(target) - 1)
        for position in range(stop + 1):
            feed = {
                "prefix": np.array([[target[position]]], dtype=np.int64),
                "memory": memory,
                "src_mask": mask,
                "hidden": hidden,
            }
            if position < stop:
                hidden = decoder(feed)[1]
        for name, array in feed.items():
            steps[name].append(array)
        labels.append(target[stop + 1])
    return {**{name: np.stack(arrays) for name, arrays in steps.items()}, "labels": np.array(labels, dtype=np.int64)}


def _names(package: Path, count: int, seed: int, letters: int) -> tuple[dict[str, int], list[tuple[list[str], str]]]:
    """Token numbers, and pairs of the encoder's tokens and the Latin name."""
    vocabulary = json.loads((package / "resources" / "vocab.json").read_text(encoding="utf-8"))["tokens"]
    tokens = {token: index for index, token in enumerate(vocabulary)}
    query = (
        "SELECT arabic_key, latin, country, role FROM units WHERE count >= 3 ORDER BY arabic_key, latin, country, role"
    )
    database = sqlite3.connect(f"file:{package / 'resources' / 'names.sqlite3'}?mode=ro", uri=True)
    try:
        rows = database.execute(query).fetchall()
    finally:
        database.close()
    pairs = []
    for arabic, latin, country, role in rows:
        role_token = f"<ROLE_{role.upper()}>" if f"<ROLE_{role.upper()}>" in tokens else "<ROLE_UNKNOWN>"
        country_token = f"<{country}>" if f"<{country}>" in tokens else "<UNK_COUNTRY>"
        source = [country_token, role_token, *arabic, "<EOS>"]
        if len(source) <= letters and len(latin) >= 3 and all(token in tokens for token in [*source, *latin]):
            pairs.append((source, latin))
    return tokens, random.Random(seed).sample(pairs, count)


def _add_file(samples: dict[bytes, int], content: bytes, label: int) -> None:
    if len(content.strip()) >= 64:
        samples.setdefault(file_features(content).tobytes(), label)


def _read(path: Path) -> bytes:
    """The first and last block of a file, joined as far as the features tell them apart."""
    with path.open("rb") as file:
        head = file.read(_BLOCK)
        rest = file.read(_BLOCK)
        if not rest:
            return head
        size = file.seek(0, io.SEEK_END)
        file.seek(max(len(head), size - _BLOCK))
        return head + file.read()


def _made_files(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Kinds that are rare on a machine, made with the standard library and Pillow."""
    pictures = scenes(8, rng.randrange(2**31), 96)
    library = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    for number, picture in enumerate(pictures):
        image = Image.fromarray(picture)
        for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PDF", "ICO", "TGA", "JPEG2000"):
            written = io.BytesIO()
            image.save(written, form)
            yield {"JPEG2000": "jp2"}.get(form, form.lower()), written.getvalue()
        texts = {path.name: path.read_bytes() for path in rng.sample(library, 3)}
        joined = b"".join(texts.values())
        yield "gzip", gzip.compress(joined, mtime=0)
        yield "bzip", bz2.compress(joined)
        yield "xz", lzma.compress(joined)
        yield "zlibstream", zlib.compress(joined)
        yield "pickle", pickle.dumps([*joined.decode(errors="replace").splitlines(), number])
        archive, tape, table, sound = io.BytesIO(), io.BytesIO(), sqlite3.connect(":memory:"), io.BytesIO()
        with (
            zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped,
            tarfile.open(fileobj=tape, mode="w") as taped,
        ):
            for name, text in texts.items():
                zipped.writestr(zipfile.ZipInfo(name), text)
                taped.addfile(_entry(name, text), io.BytesIO(text))
        table.execute("CREATE TABLE texts (name TEXT, body BLOB)")
        table.executemany("INSERT INTO texts VALUES (?, ?)", texts.items())
        table.commit()
        with wave.open(sound, "wb") as waves:
            waves.setnchannels(1)
            waves.setsampwidth(2)
            waves.setframerate(8000)
            waves.writeframes((np.sin(np.arange(4000) * (number + 1) / 9) * 9000).astype(np.int16).tobytes())
        yield "zip", archive.getvalue()
        yield "tar", tape.getvalue()
        yield "sqlite", table.serialize()
        yield "wav", sound.getvalue()


def _entry(name: str, text: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = len(text)
    return entry
