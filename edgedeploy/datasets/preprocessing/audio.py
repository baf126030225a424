"""From the samples of a recording to what a model takes: spectra, mel bands, logarithms, cepstra.

Computed in float64 a thousand frames at a time, and given as float32; tests hold it to values of librosa, torchaudio's
and TensorFlow's conventions, and Whisper's own code.

- Frames: `center` as librosa.stft and torch.stft with `pad_mode="reflect"`; without, as tf.signal.stft and Kaldi.
- Mel: slaney and htk of librosa.filters.mel; `mel_triangles = "mel"` as tf.signal.linear_to_mel_weight_matrix.
- Cepstra: DCT of type 2 (Davis and Mermelstein 1980, https://doi.org/10.1109/TASSP.1980.1163420).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.preprocessing import AudioPreprocessing

_FRAMES = 1024
"""That are in memory at once."""
MOST_SAMPLES = 1 << 25
"""Of one recording, as a model takes it: 35 minutes at 16 kHz, 134 MB."""
_MOST_VALUES = 1 << 27
"""Of bands and frames together: 1 GB."""
_WHISPER_RANGE, _WHISPER_SHIFT = 8.0, 4.0
"""https://github.com/openai/whisper/blob/v20250625/whisper/audio.py, log_mel_spectrogram."""
# Slaney's scale: linear to 1000 Hz, 200/3 Hz a mel, then logarithmic, 27 mel to the factor 6.4
# (Auditory Toolbox 1998, https://engineering.purdue.edu/~malcolm/interval/1998-010/).
_SLANEY_HZ, _SLANEY_BEND_HZ, _SLANEY_STEP = 200.0 / 3.0, 1000.0, math.log(6.4) / 27.0


def prepare_sound(samples: np.ndarray, preprocessing: AudioPreprocessing) -> np.ndarray:
    """Return what a model takes of a recording, without axes for batch and channel.

    Args:
        samples: float32, shape (samples,): one channel, in [-1, 1], at the rate of `preprocessing`, not cut yet.
        preprocessing: one that `check_audio` finds sound.

    Returns:
        float32: shape (samples,), or (bands, frames), or (frames, bands) where the layout is time first.

    Raises:
        DatasetError: the recording is shorter than one window, or far too long.
    """
    values = samples.astype(np.float64)
    if preprocessing.peak and values.size and values.max() > 0:
        values = values / values.max()
    if preprocessing.duration_s is not None:
        wanted = samples_of(preprocessing.duration_s, preprocessing)
        values = np.pad(values[:wanted], (0, max(wanted - len(values), 0)))
    if preprocessing.preemphasis:
        values = np.concatenate((values[:1], values[1:] - preprocessing.preemphasis * values[:-1]))
    if preprocessing.features != "samples":
        values = _features(values, preprocessing)
    values = _normalized(values, preprocessing)
    if values.ndim == 2 and preprocessing.layout == "time-first":
        values = values.T
    return np.ascontiguousarray(values, dtype=np.float32)


def samples_of(duration_s: float, preprocessing: AudioPreprocessing) -> int:
    """Return how many samples a duration has."""
    return round(duration_s * preprocessing.rate_hz)


def check_audio(preprocessing: AudioPreprocessing, spec: str) -> None:
    """Check that settings go together.

    Raises:
        DatasetError: they do not; the message names the keys.
    """
    each = preprocessing
    bands = {"samples": 1, "spectrogram": each.fft_samples // 2 + 1, "mfcc": each.coefficients}.get(
        each.features, each.mel_bands
    )
    top_hz = each.rate_hz / 2 if each.mel_max_hz is None else each.mel_max_hz
    needs_log = each.features in ("log-mel", "mfcc")
    wrong = {
        f"rate_hz = {each.rate_hz}, expected 1 to 1,000,000": not 1 <= each.rate_hz <= 1_000_000,
        f"duration_s = {each.duration_s}, expected more than 0, and at most {MOST_SAMPLES:,} samples": (
            each.duration_s is not None and not 0 < each.duration_s * each.rate_hz <= MOST_SAMPLES
        ),
        f"fft_samples = {each.fft_samples}, expected 2 to 65,536": not 2 <= each.fft_samples <= 65_536,
        f"window_samples = {each.window_samples}, expected 1 to fft_samples = {each.fft_samples}": not (
            1 <= each.window_samples <= each.fft_samples
        ),
        f"hop_samples = {each.hop_samples}, expected at least 1": each.hop_samples < 1,
        f"mel_bands = {each.mel_bands}, expected 1 to 1,024": not 1 <= each.mel_bands <= 1024,
        f"mel_min_hz = {each.mel_min_hz}, mel_max_hz = {top_hz}, expected 0 to half of the rate": not (
            0 <= each.mel_min_hz < top_hz <= each.rate_hz / 2
        ),
        f"coefficients = {each.coefficients}, expected 1 to mel_bands = {each.mel_bands}": each.features == "mfcc"
        and not 1 <= each.coefficients <= each.mel_bands,
        f'features = "{each.features}" and log = "none"': needs_log and each.log == "none",
        f"log_floor = {each.log_floor}, expected more than 0": not each.log_floor > 0,
        f"mean has {len(each.mean)} numbers and std {len(each.std)}, expected 1 or {bands}": not (
            {len(each.mean), len(each.std)} <= {1, bands}
        ),
        "std has a 0": 0.0 in each.std,
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise DatasetError(f"{spec}: [preprocessing]: {what}")


def _features(values: np.ndarray, preprocessing: AudioPreprocessing) -> np.ndarray:
    """Return the bands of each frame, shape (bands, frames)."""
    mel = None
    if preprocessing.features != "spectrogram":
        mel = _mel_filters(preprocessing)
    bands_count = preprocessing.fft_samples // 2 + 1 if mel is None else len(mel)
    if len(values) // preprocessing.hop_samples * bands_count > _MOST_VALUES:
        raise DatasetError(
            f"the recording would become {len(values) // preprocessing.hop_samples:,} frames of {bands_count} bands",
            why=f"at most {_MOST_VALUES:,} values are in memory",
            hint="state duration_s, or a larger hop_samples, under [preprocessing]",
        )
    parts = []
    for frames in _frames(values, preprocessing):
        spectrum = np.abs(np.fft.rfft(frames, n=preprocessing.fft_samples, axis=1)) ** preprocessing.power
        parts.append(spectrum if mel is None else spectrum @ mel.T)
    bands = np.concatenate(parts).T
    if preprocessing.log != "none":
        bands = _logarithm(bands, preprocessing)
    if preprocessing.features == "mfcc":
        bands = _dct(preprocessing) @ bands
    return bands


def _frames(values: np.ndarray, preprocessing: AudioPreprocessing) -> Iterator[np.ndarray]:
    """Yield windowed frames, some at a time, shape (frames, samples)."""
    size = preprocessing.window_samples
    window = _window(preprocessing)
    if preprocessing.center:
        size = preprocessing.fft_samples
        before = (size - len(window)) // 2
        window = np.pad(window, (before, size - len(window) - before))
        values = np.pad(values, size // 2, mode="reflect")
    if len(values) < size:
        raise DatasetError(
            f"the recording has {len(values):,} samples, and one window {size:,}",
            hint="state duration_s under [preprocessing]: shorter recordings are filled with zeros",
        )
    frames = np.lib.stride_tricks.sliding_window_view(values, size)[:: preprocessing.hop_samples]
    if preprocessing.log == "whisper" and len(frames) > 1:
        frames = frames[:-1]
    for begin in range(0, len(frames), _FRAMES):
        yield frames[begin : begin + _FRAMES] * window


def _window(preprocessing: AudioPreprocessing) -> np.ndarray:
    size = preprocessing.window_samples
    if preprocessing.window == "rectangle" or size == 1:
        return np.ones(size)
    span = size if preprocessing.window_periodic else size - 1
    high = {"hann": 0.5, "hamming": 0.54}[preprocessing.window]
    wave: np.ndarray = high - (1.0 - high) * np.cos(2.0 * np.pi * np.arange(size) / span)
    return wave


@functools.lru_cache(maxsize=4)
def _mel_filters(preprocessing: AudioPreprocessing) -> np.ndarray:
    """Return how much of each frequency a band takes, shape (bands, frequencies)."""
    to_mel, to_hz = (_hz_to_htk, _htk_to_hz) if preprocessing.mel_scale == "htk" else (_hz_to_slaney, _slaney_to_hz)
    top_hz = preprocessing.rate_hz / 2 if preprocessing.mel_max_hz is None else preprocessing.mel_max_hz
    ends = to_mel(np.array([preprocessing.mel_min_hz, top_hz]))
    edges = np.linspace(ends[0], ends[1], preprocessing.mel_bands + 2)
    places = np.linspace(0.0, preprocessing.rate_hz / 2, preprocessing.fft_samples // 2 + 1)
    edges_hz = to_hz(edges)
    if preprocessing.mel_triangles == "mel":
        places = to_mel(places)
    else:
        edges = edges_hz
    widths = np.diff(edges)[:, np.newaxis]
    distances = places - edges[:, np.newaxis]
    rising, falling = distances[:-2] / widths[:-1], -distances[2:] / widths[1:]
    filters: np.ndarray = np.maximum(0.0, np.minimum(rising, falling))
    if preprocessing.mel_triangles == "mel":
        filters[:, 0] = 0.0
    if preprocessing.mel_norm == "slaney":
        filters *= (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, np.newaxis]
    return filters


def _hz_to_htk(hz: np.ndarray) -> np.ndarray:
    """HTK Book 3.4, section 5.4: 2595 log10(1 + f / 700)."""
    mel: np.ndarray = 2595.0 * np.log10(1.0 + hz / 700.0)
    return mel


def _htk_to_hz(mel: np.ndarray) -> np.ndarray:
    hz: np.ndarray = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return hz


def _hz_to_slaney(hz: np.ndarray) -> np.ndarray:
    bend = _SLANEY_BEND_HZ / _SLANEY_HZ
    above = bend + np.log(np.maximum(hz, _SLANEY_BEND_HZ) / _SLANEY_BEND_HZ) / _SLANEY_STEP
    mel: np.ndarray = np.where(hz >= _SLANEY_BEND_HZ, above, hz / _SLANEY_HZ)
    return mel


def _slaney_to_hz(mel: np.ndarray) -> np.ndarray:
    bend = _SLANEY_BEND_HZ / _SLANEY_HZ
    above = _SLANEY_BEND_HZ * np.exp(_SLANEY_STEP * (np.maximum(mel, bend) - bend))
    hz: np.ndarray = np.where(mel >= bend, above, mel * _SLANEY_HZ)
    return hz


def _logarithm(bands: np.ndarray, preprocessing: AudioPreprocessing) -> np.ndarray:
    raised = np.maximum(bands + preprocessing.log_offset, preprocessing.log_floor)
    if preprocessing.log == "natural":
        found = np.log(raised)
    else:
        found = np.log10(raised) * (10.0 if preprocessing.log == "db" else 1.0)
    log_range = _WHISPER_RANGE if preprocessing.log == "whisper" else preprocessing.log_range
    if log_range is not None:
        found = np.maximum(found, found.max() - log_range)
    if preprocessing.log == "whisper":
        found = (found + _WHISPER_SHIFT) / _WHISPER_SHIFT
    result: np.ndarray = found
    return result


@functools.lru_cache(maxsize=4)
def _dct(preprocessing: AudioPreprocessing) -> np.ndarray:
    bands = preprocessing.mel_bands
    angles = np.pi / bands * np.arange(preprocessing.coefficients)[:, np.newaxis] * (np.arange(bands) + 0.5)
    matrix: np.ndarray = math.sqrt(2.0 / bands) * np.cos(angles)
    if preprocessing.dct == "ortho":
        matrix[0] = math.sqrt(1.0 / bands)
    return matrix


def _normalized(values: np.ndarray, preprocessing: AudioPreprocessing) -> np.ndarray:
    if preprocessing.normalize != "none":
        axis = -1 if preprocessing.normalize == "bands" else None
        deviation = np.sqrt(values.var(axis=axis, keepdims=True) + preprocessing.normalize_floor)
        values = (values - values.mean(axis=axis, keepdims=True)) / deviation
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    if values.ndim == 2:
        mean, std = mean[:, np.newaxis], std[:, np.newaxis]
    result: np.ndarray = (values - mean) / std
    return result
