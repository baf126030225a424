"""«Hey Jarvis» or something else: openWakeWord's spectrogram, embedding and classifier, joined to one model."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
import onnx.compose
import onnx.parser
from wild.sounds import RATE

from tasks.base import BenchTask
from tasks.files import save_csv, save_toml, save_wav
from tasks.voices import in_noise, phrase, say_all
from tasks.workshop import Workshop

_SAMPLES = 31_760
"""Give 196 frames of spectrogram: 16 windows of 76, each 8 after the one before."""
_WAKE = "hey jarvis"
_OTHERS = (
    "hey marvin|hey charlie|hey harvey|hey google|okay jasmine|alexa|good morning|what time is it|hey jenny|"
    "a jar of jam|they are here|play some jazz|turn off the light|heavy traffic|hey nervous"
).split("|")
_CALIBRATION, _EVALUATION = 100, 400

_WINDOWS = """
<ir_version: 7, opset_import: ["" : 13]>
windows (float[one, one1, frames, 32] spectrogram) => (float[16, 76, 32, 1] cut)
<float ten = {10.0}, float two = {2.0}, int64[2] plane = {196, 32}, int64[1] last = {3}>
{
  flat = Reshape (spectrogram, plane)
  smaller = Div (flat, ten)
  scaled = Add (smaller, two)
  windows = Gather <axis = 0> (scaled, places)
  cut = Unsqueeze (windows, last)
}
"""
"""As `openwakeword/utils.py` has it: `melspec_transform`, `embeddings_window`, `embeddings_step`."""


def joined(folder: Path) -> onnx.ModelProto:
    """Return one model: recording float32 (1, 31760), 16-bit numbers → score (1, 1).

    Args:
        folder: openWakeWord's models.
    """
    spectrogram, embedding, classifier = (
        onnx.load(folder / f"{name}.onnx") for name in ("melspectrogram", "embedding_model", "hey_jarvis_v0.1")
    )
    text = _WINDOWS.replace("float ten", f"int64[16, 76] places = {{{_places()}}}, float ten")
    windows = onnx.parser.parse_model(text)
    features = _merged(_prefixed(spectrogram, "mel"), _prefixed(windows, "windows"))
    vectors = _merged(features, _prefixed(embedding, "embedding"))
    row = onnx.parser.parse_model(
        """
        <ir_version: 7, opset_import: ["" : 13]>
        row (float[16, 1, 1, 96] vectors) => (float[1, 16, 96] sequence)
        <int64[3] shape = {1, 16, 96}> { sequence = Reshape (vectors, shape) }
        """
    )
    model = _merged(_merged(vectors, _prefixed(row, "row")), classifier)
    model.graph.input[0].type.tensor_type.shape.CopyFrom(_shape(1, _SAMPLES))
    model.graph.output[0].type.tensor_type.shape.CopyFrom(_shape(1, 1))
    onnx.checker.check_model(model)
    return model


def _places() -> str:
    return ", ".join(str(8 * window + frame) for window in range(16) for frame in range(76))


def _shape(*extents: int) -> onnx.TensorShapeProto:
    return onnx.TensorShapeProto(dim=[onnx.TensorShapeProto.Dimension(dim_value=extent) for extent in extents])


def _prefixed(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    # Not the classifier: names inside its branches would stay as they are.
    prefixed: onnx.ModelProto = onnx.compose.add_prefix(model, f"{name}/")
    return prefixed


def _merged(first: onnx.ModelProto, second: onnx.ModelProto) -> onnx.ModelProto:
    """Put `second` behind `first`."""
    joint = [(first.graph.output[0].name, second.graph.input[0].name)]
    graph = onnx.compose.merge_graphs(first.graph, second.graph, io_map=joint)
    return onnx.helper.make_model(graph, opset_imports=first.opset_import, ir_version=first.ir_version)


def _prepare(workshop: Workshop, folder: Path) -> None:
    onnx.save(joined(workshop.packages / "openwakeword" / "resources" / "models"), folder / "model.onnx")
    for part, count, seed in (("calibration", _CALIBRATION, 2), ("evaluation", _EVALUATION, 3)):
        rng, noise = random.Random(seed), np.random.default_rng(seed)
        labels = [number % 2 for number in range(count)]
        phrases = [phrase(_WAKE if label else rng.choice(_OTHERS), part, rng) for label in labels]
        rows = []
        for number, sound in enumerate(say_all(workshop.packages / "espeakng_loader", phrases)):
            name = f"{part}/{number:05}.wav"
            save_wav(folder / name, in_noise(sound, _SAMPLES, noise, at_end=True), RATE)
            rows.append((name, ("other", "wake")[labels[number]]))
        save_csv(folder / f"{part}.csv", ("file", "label"), rows)
        source = {
            "path": f"{part}.csv",
            "format": "audio-manifest",
            "task": "classification",
            "class_names": ["other", "wake"],
            # openWakeWord takes 16-bit numbers as they are.
            "preprocessing": {"rate_hz": RATE, "duration_s": _SAMPLES / RATE, "std": [1 / 32768]},
        }
        save_toml(folder / f"{part}.toml", source)


TASK = BenchTask(
    name="wake-word",
    kind="wake word",
    about="openWakeWord's «hey Jarvis» from the recording on: spectrogram, embedding, classifier",
    origin="openwakeword",
    judged_by="phrases said by eSpeak NG in noise, half of them the wake word, others sound like it",
    metric="average-precision",
    max_drop="0.01",
    prepare=_prepare,
)
