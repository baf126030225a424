"""What is done to a picture or a recording before the model sees it: declared, never guessed."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Resampling = Literal["nearest", "bilinear", "bicubic", "area", "lanczos"]


class ImagePreprocessing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[preprocessing]` for pictures. The steps are done in the order of the fields."""

    preset: str = ""
    """A name that `edgedeploy.datasets.preprocessing.presets` knows; the other keys change it."""
    orientation: bool = True
    """Turn the picture as its EXIF data say."""
    color: Literal["rgb", "bgr", "gray"] = "rgb"
    resize: Literal["none", "stretch", "shorter-side", "letterbox"] = "stretch"
    size: tuple[int, int] | None = None
    """Height and width after resizing; None: those of the model's input. With `shorter-side`, the first is the length
    of the shorter side."""
    resampling: Resampling = "bilinear"
    antialias: bool = True
    """Where it gets smaller, all pixels count (Pillow); without, only the neighbors of each point do (OpenCV)."""
    letterbox_value: tuple[int, ...] = (114,)
    """Of the bars, in [0, 255]; one number, or one for each channel in the order of `color`."""
    letterbox_center: bool = True
    """The picture is in the middle; without, at the top left."""
    letterbox_enlarge: bool = True
    """A smaller picture is made larger."""
    crop: tuple[int, int] | None = None
    """Height and width of the middle that is kept after resizing; None: all of it."""
    scale: float = 1.0 / 255.0
    """The values from 0 to 255 are multiplied with it."""
    mean: tuple[float, ...] = (0.0,)
    """Is subtracted after scaling; one number, or one for each channel in the order of `color`."""
    std: tuple[float, ...] = (1.0,)
    """Is divided by after that."""
    layout: Literal["nchw", "nhwc", ""] = ""
    """Of the model's input; empty: as its shape tells (where one of the two axes has 1 or 3 channels)."""


class EmbeddedPreprocessing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Preprocessing that is inside a model: its input takes pictures, uint8, shape (batch, height, width, channels),
    the channels red, green and blue, or one of gray."""

    declared: ImagePreprocessing
    """What is done in all, its preset written out for this model."""
    resizes: bool
    """The input takes pictures as they are decoded; without, they come resized, padded and cropped, and all that is
    left (scale, mean, std, layout, the order of colors) is inside."""
    height: int
    """Of what the rest of the model takes; boxes, points and masks are in pixels of it."""
    width: int
    absorbed: tuple[Literal["scale", "mean", "color"], ...] = ()
    """What is done by the weights of the first convolution, not by operators of its own."""
    outside: str = ""
    """Why resizing is not inside; empty where it is, or where nothing is resized."""
    input_difference: float = 0.0
    """The largest found between what is done inside and what is declared, in levels of 255."""
    answer_difference: float = 0.0
    """The largest found between the answers: Euclidean norm of the difference over that of the output."""


class AudioPreprocessing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[preprocessing]` for recordings. The steps are done in the order of the fields."""

    preset: str = ""
    """A name that `edgedeploy.datasets.preprocessing.presets` knows; the other keys change it."""
    rate_hz: int = 16_000
    """Recordings of another rate are resampled."""
    duration_s: float | None = None
    """Longer recordings are cut, shorter ones filled with zeros at their end; None: as they are."""
    preemphasis: float = 0.0
    features: Literal["samples", "spectrogram", "mel", "log-mel", "mfcc"] = "samples"
    window: Literal["hann", "hamming", "rectangle"] = "hann"
    window_periodic: bool = True
    window_samples: int = 400
    fft_samples: int = 400
    hop_samples: int = 160
    center: bool = True
    """Each frame is centered on its place; the recording is mirrored at its ends for that."""
    power: float = 2.0
    mel_bands: int = 80
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney", "none"] = "slaney"
    mel_min_hz: float = 0.0
    mel_max_hz: float | None = None
    """None: half of the rate."""
    log: Literal["none", "natural", "log10", "db", "whisper"] = "none"
    log_floor: float = 1e-10
    coefficients: int = 13
    """Of `mfcc`."""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Literal["time-first", "bands-first", ""] = ""
    """Of the last two axes of the model's input; empty: bands first."""


class TextPreprocessing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[preprocessing]` for text."""

    tokenizer: str
    """The path of a `tokenizer.json`, relative to the file that names it."""
    length: int | None = None
    """Tokens of a sample: longer texts are cut, shorter ones filled; None: as the model's input, or as they are."""
    padding_id: int | None = None
    """None: the tokenizer's own."""


Preprocessing = ImagePreprocessing | AudioPreprocessing | TextPreprocessing
