"""What is done to a picture, a recording, a row or a text before the model sees it: declared, never guessed."""

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
    three of color or one of gray."""

    declared: ImagePreprocessing
    """What is done in all, its preset written out for this model."""
    picture_color: Literal["rgb", "bgr"] = "rgb"
    """The order of colors in the pictures that the input takes; where they are gray, no matter."""
    resizes: bool
    """The input takes pictures as they are decoded; without, they come resized, padded and cropped, and all that is
    left (scale, mean, std, layout, the order of colors) is inside."""
    height: int
    """Of what the rest of the model takes; boxes, points and masks are in pixels of it."""
    width: int
    dtype: str = "float32"
    """Of what the rest of the model takes."""
    shape: tuple[int | str, ...] = ()
    """Of that: as the input's was before."""
    absorbed: tuple[Literal["scale", "mean", "color"], ...] = ()
    """What is done by the weights of the first convolution, not by operators of its own."""
    outside: str = ""
    """Why resizing is not inside; empty where it is, or where nothing is resized."""
    input_difference: float = 0.0
    """The largest found between what is done inside and what is declared, in levels of 255."""
    answer_difference: float = 0.0
    """The largest found between the answers: Euclidean norm of the difference over that of the output."""

    @property
    def swaps(self) -> bool:
        """Whether the pictures have their colors in another order than what is declared is made of."""
        return self.declared.color not in ("gray", self.picture_color)


class AudioPreprocessing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[preprocessing]` for recordings. The steps are done in the order of the fields."""

    preset: str = ""
    """A name that `edgedeploy.datasets.preprocessing.audio_presets` knows; the other keys change it."""
    rate_hz: int = 16_000
    resample: bool = True
    """Recordings of another rate are resampled; without, they are an error."""
    duration_s: float | None = None
    """Longer recordings are cut, shorter ones filled with zeros at their end; None: as they are."""
    peak: bool = False
    """The recording is divided by its largest sample, before it is cut or filled."""
    preemphasis: float = 0.0
    """y[t] = x[t] - preemphasis x[t-1]; the first sample stays."""
    features: Literal["samples", "spectrogram", "mel", "log-mel", "mfcc"] = "samples"
    window: Literal["hann", "hamming", "rectangle"] = "hann"
    window_periodic: bool = True
    window_samples: int = 400
    fft_samples: int = 400
    hop_samples: int = 160
    center: bool = True
    """Each frame is centered on its place; the recording is mirrored at its ends for that. Without, frame k begins at
    the sample k * `hop_samples`, and a frame that would end behind the recording is left out."""
    power: float = 2.0
    """Of the magnitude of the spectrum: 1 magnitude, 2 power."""
    mel_bands: int = 80
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney", "none"] = "slaney"
    mel_min_hz: float = 0.0
    mel_max_hz: float | None = None
    """None: half of the rate."""
    mel_triangles: Literal["hz", "mel"] = "hz"
    """Along which of the two the sides of a filter are straight: frequency (librosa, torchaudio), or mel (Kaldi,
    TensorFlow, which also leave out the constant part)."""
    log: Literal["none", "natural", "log10", "db", "whisper"] = "none"
    """`whisper`: log10, at most 8 under its largest, (x + 4) / 4, without the last frame. `db`: 10 log10."""
    log_floor: float = 1e-10
    """Smaller values are raised to it before the logarithm is taken."""
    log_offset: float = 0.0
    """Is added before that."""
    log_range: float | None = None
    """Values that are farther than this under the largest of the recording are raised to there; in the unit of
    `log`."""
    coefficients: int = 13
    """Of `mfcc`."""
    dct: Literal["ortho", "htk"] = "ortho"
    """Of `mfcc`, how the transform (type 2) is scaled: orthonormal (librosa, torchaudio), or all of it by
    sqrt(2 / bands) (HTK, TensorFlow)."""
    normalize: Literal["none", "recording", "bands"] = "none"
    """Subtract the mean and divide by the deviation, of all values of the recording, or over time of each band."""
    normalize_floor: float = 1e-7
    """Is added to the variance for that."""
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


class TablePreprocessing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[preprocessing]` for tables and series. The steps are done in the order of the fields, by column."""

    fill: dict[str, float | str] = {}
    """What stands in place of a missing value; of a column that is not named here it is an error."""
    categories: dict[str, tuple[str, ...]] = {}
    """Texts of a column, which become their place here, from 0."""
    mean: dict[str, float] = {}
    """Is subtracted."""
    std: dict[str, float] = {}
    """Is divided by after that."""
    layout: Literal["time-first", "channels-first", ""] = ""
    """Of a window, in the last two axes of the model's input; empty: as its shape tells, else time first."""


Preprocessing = ImagePreprocessing | AudioPreprocessing | TextPreprocessing | TablePreprocessing
