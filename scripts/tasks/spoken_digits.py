"""Digits said one after the other, written down as words."""

from __future__ import annotations

import hashlib
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from wild.sounds import RATE

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.values.model import TensorFacts
from tasks.base import BenchTask
from tasks.files import save_json_lines, save_toml, save_wav
from tasks.voices import in_noise, phrase, say_all
from tasks.workshop import Workshop

_WORDS = "zero one two three four five six seven eight nine".split()
_ALPHABET = " " + "".join(sorted(set("".join(_WORDS))))
_SECONDS, _BANDS, _HOP = 3.0, 40, 320
_TRAINED, _CALIBRATION, _EVALUATION = 2500, 100, 300
_PREPROCESSING: dict[str, Any] = {
    "rate_hz": RATE,
    "duration_s": _SECONDS,
    "features": "log-mel",
    "window_samples": 400,
    "fft_samples": 512,
    "hop_samples": _HOP,
    "mel_bands": _BANDS,
    "log": "natural",
    "log_floor": 1e-5,
    "mean": [-6.0],
    "std": [4.0],
}


def _record(workshop: Workshop, folder: Path, part: str, count: int, seed: int) -> list[str]:
    """Write recordings, their manifest and its `.toml`; return the transcripts."""
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    texts = [" ".join(rng.choices(_WORDS, k=rng.randint(2, 4))) for _ in range(count)]
    spoken = say_all(workshop.packages / "espeakng_loader", [phrase(text, part, rng) for text in texts])
    rows = []
    for number, (text, sound) in enumerate(zip(texts, spoken, strict=True)):
        name = f"{part}/{number:05}.wav"
        save_wav(folder / name, in_noise(sound, int(_SECONDS * RATE), noise, at_end=False), RATE)
        rows.append({"file": name, "text": text})
    save_json_lines(folder / f"{part}.jsonl", rows)
    source = {
        "path": f"{part}.jsonl",
        "format": "audio-manifest",
        "task": "speech",
        "preprocessing": _PREPROCESSING,
        "head": {"kind": "ctc", "options": {"alphabet": _ALPHABET, "blank": 0}},
    }
    save_toml(folder / f"{part}.toml", source)
    return texts


def _prepare(workshop: Workshop, folder: Path) -> None:
    texts = _record(workshop, folder, "training", _TRAINED, 1)
    frames = round(_SECONDS * RATE / _HOP) + 1
    facts = TensorFacts(name="features", dtype="float32", shape=(1, _BANDS, frames))
    samples = open_dataset(str(folder / "training.toml"), [facts]).samples()
    features = np.concatenate([sample.feed["features"] for sample in samples])
    letters = np.zeros((len(texts), max(map(len, texts))), dtype=np.int64)
    for row, text in zip(letters, texts, strict=True):
        row[: len(text)] = [1 + _ALPHABET.index(letter) for letter in text]
    arrays = {"features": features, "texts": letters, "symbols": np.array(1 + len(_ALPHABET), dtype=np.int64)}
    made_from = hashlib.sha256(repr(_PREPROCESSING).encode())
    for path in sorted((folder / "training").iterdir()):
        made_from.update(path.read_bytes())
    model = workshop.trained("speech", arrays, made_from=made_from.hexdigest())
    shutil.copyfile(model, folder / "model.onnx")
    shutil.rmtree(folder / "training")
    for part, count, seed in (("calibration", _CALIBRATION, 2), ("evaluation", _EVALUATION, 3)):
        _record(workshop, folder, part, count, seed)


TASK = BenchTask(
    name="spoken-digits",
    kind="speech recognition",
    about="two to four digits, QuartzNet's layout with CTC on letters",
    origin="trained here",
    judged_by="words said by eSpeak NG in voices that were not learned, in noise",
    metric="wer",
    max_drop="0.01",
    prepare=_prepare,
)
