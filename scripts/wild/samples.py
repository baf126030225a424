"""Samples for each model of the corpus: what calibrates it, and what it is judged on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.model.inspect import inspect_model

Arrays = dict[str, np.ndarray]
Pair = tuple[Arrays, Arrays]
"""Calibration and evaluation."""
Maker = Callable[["CorpusSources", int, int], Pair]
"""Makes so many calibration and so many evaluation samples."""


@dataclass(frozen=True)
class CorpusSources:
    """Where packages and models lie."""

    folder: Path

    def package(self, name: str) -> Path:
        return self.folder / "packages" / name

    def model(self, name: str) -> Path:
        return self.folder / name / "model.onnx"

    def session(self, name: str) -> HostSession:
        return HostSession(self.model(name), exact=False, threads=1)


# Each maker gives calibration and evaluation with nothing in common: other words and seeds where samples are
# drawn, one shuffled pool cut in two where they are taken from a collection.


def drawn(draw: Callable[[CorpusSources, str, int, int], Arrays]) -> Maker:
    def make(sources: CorpusSources, calibration: int, evaluation: int) -> Pair:
        return draw(sources, "calibration", calibration, 20261), draw(sources, "evaluation", evaluation, 20262)

    return make


def cut(collect: Callable[[CorpusSources, int], Arrays]) -> Maker:
    def make(sources: CorpusSources, calibration: int, evaluation: int) -> Pair:
        pool = collect(sources, calibration + evaluation)
        return {k: v[:calibration] for k, v in pool.items()}, {k: v[calibration:] for k, v in pool.items()}

    return make


def answered(name: str, make: Maker, answer: Callable[[list[np.ndarray]], np.ndarray]) -> Maker:
    """Where there is no truth to be had, the float model's own answers are the labels.

    Args:
        name: of the model.
        make: gives samples without labels.
        answer: the label of one sample, from the float model's outputs for it.
    """

    def made(sources: CorpusSources, calibration: int, evaluation: int) -> Pair:
        typical, judged = make(sources, calibration, evaluation)
        session = sources.session(name)
        inputs = {facts.name: facts for facts in inspect_model(sources.model(name)).inputs}
        labels = []
        for index in range(evaluation):
            # A slice of the batch axis, or of one rank more: a whole input.
            feed = {
                key: array[index] if array.ndim > len(inputs[key].shape) else array[index : index + 1]
                for key, array in judged.items()
            }
            labels.append(answer(session.run(feed)))
        return typical, {**judged, "labels": np.stack(labels)}

    return made


def best_class(outputs: list[np.ndarray]) -> np.ndarray:
    return np.array(outputs[0].argmax(), dtype=np.int64)


def best_class_of_frames(outputs: list[np.ndarray]) -> np.ndarray:
    frames: np.ndarray = outputs[0][:, 0].argmax(axis=-1)
    return frames


def first_output(outputs: list[np.ndarray]) -> np.ndarray:
    return outputs[0].reshape(-1)


def first_output_of_whole_feed(outputs: list[np.ndarray]) -> np.ndarray:
    return outputs[0].reshape(1, -1)


def direction(_: CorpusSources, part: str, count: int, seed: int) -> Arrays:
    from wild.pictures import turned_lines

    return turned_lines(part, count, seed)


def recognizer(sources: CorpusSources, part: str, count: int, seed: int) -> Arrays:
    from wild.pictures import text_lines

    properties = {entry.key: entry.value for entry in onnx.load(sources.model("ocr-recognizer")).metadata_props}
    return text_lines(part, count, seed, ["blank", *properties["character"].splitlines(), " "])


def detector(_: CorpusSources, part: str, count: int, seed: int) -> Arrays:
    from wild.pictures import pages

    return pages(part, count, seed)


def orientation(_: CorpusSources, part: str, count: int, seed: int) -> Arrays:
    from wild.pictures import turned_pages

    return turned_pages(part, count, seed)


def captcha(sources: CorpusSources, _: str, count: int, seed: int) -> Arrays:
    from wild.pictures import captchas

    sys.path.insert(0, str(sources.folder / "packages"))
    try:
        captcha = importlib.import_module("captcha.image")
    finally:
        sys.path.pop(0)
    return captchas(count, seed, captcha.ImageCaptcha, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_")


def characters(_: CorpusSources, _part: str, count: int, seed: int) -> Arrays:
    from wild.pictures import scattered_characters

    return scattered_characters(count, seed)


def imagenet(name: str) -> Maker:
    def draw(sources: CorpusSources, _: str, count: int, seed: int) -> Arrays:
        from wild.pictures import imagenet_scenes

        return {sources.session(name).input_names[0]: imagenet_scenes(count, seed)}

    return drawn(draw)


def caffe(sources: CorpusSources, _: str, count: int, seed: int) -> Arrays:
    """Open NSFW's input: BGR with ImageNet's mean taken off, samples × height × width × 3."""
    from wild.pictures import scenes

    pictures = scenes(count, seed, 224)[..., ::-1].astype(np.float32)
    return {"input:0": pictures - np.array([104, 117, 123], dtype=np.float32)}


def yolo(_: CorpusSources, _part: str, count: int, seed: int) -> Arrays:
    from wild.pictures import scenes

    pictures = scenes(count, seed, 320).transpose(0, 3, 1, 2).astype(np.float32)
    return {"images": pictures / np.float32(255)}


def recording(
    sources: CorpusSources, part: str, seconds: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from wild.pictures import words_of
    from wild.sounds import recorded

    words = tuple(words_of(part))
    return recorded(sources.package("espeakng_loader"), words, seconds, seed)


def stream(sources: CorpusSources) -> Arrays:
    sound, voiced, clear = recording(sources, "evaluation", 60.0, 20268)
    return {"sound": sound, "voiced": voiced, "clear": clear}


def voice(name: str) -> Maker:
    def draw(sources: CorpusSources, part: str, count: int, seed: int) -> Arrays:
        from wild.sounds import windows_with_state

        session = sources.session(name)
        return windows_with_state(
            session.run, set(session.input_names), *recording(sources, part, 0.16 * count, seed), count
        )

    return drawn(draw)


def voice_sequence(sources: CorpusSources, part: str, count: int, seed: int) -> Arrays:
    from wild.sounds import runs_of_windows

    session = sources.session("silero-vad-16k-sequence")
    return runs_of_windows(session.run, *recording(sources, part, 0.9 * count, seed), count)


def music(sources: CorpusSources, _: str, count: int, seed: int) -> Arrays:
    from wild.sounds import notes

    sounds, active = notes(count, seed)
    return {sources.session("pitch").input_names[0]: sounds, "labels": active}


def sleep_eeg(_: CorpusSources, _part: str, count: int, seed: int) -> Arrays:
    from wild.signals import sleep

    raw, scalogram, labels = sleep(count, seed)
    return {"raw_signal": raw, "spectrogram": scalogram, "labels": labels}


def seizure_eeg(_: CorpusSources, _part: str, count: int, seed: int) -> Arrays:
    from wild.signals import spectrograms

    return {"x": spectrograms(count, seed)}


def files(sources: CorpusSources, count: int) -> Arrays:
    from wild.files import files_by_kind

    site_packages = Path(onnx.__file__).parent.parent
    return files_by_kind(sources.package("magika"), [site_packages, Path("/usr/share/doc")], count, 20263)


def atom_mappings(_: CorpusSources, _part: str, count: int, seed: int) -> Arrays:
    from wild.reactions import reactions

    return reactions(count, seed)


def words(sources: CorpusSources, count: int) -> Arrays:
    from wild.files import word_parts

    return word_parts(sources.package("slovorez"), count, 20264)


def names(sources: CorpusSources, count: int) -> Arrays:
    from wild.files import arabic_names

    return arabic_names(sources.package("arabic_name_romanizer"), count, 20265)


def letters(sources: CorpusSources, count: int) -> Arrays:
    from wild.files import next_letters

    encoder = HostSession(
        sources.package("arabic_name_romanizer") / "resources" / "encoder.onnx", exact=False, threads=1
    )
    decoder = sources.session("names-decoder")
    package = sources.package("arabic_name_romanizer")
    return next_letters(package, encoder.run, decoder.run, count, 20266)
