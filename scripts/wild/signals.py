"""Synthesize EEG for the sleep and seizure models of the corpus: 1/f background, spindles, rhythmic discharges.

Preprocessing follows brainmaze-eeg-models 0.1.0 (`spindles/_cwt.py`, `seizure/_seizure_detect.py`).
"""

from __future__ import annotations

import functools
import random

import numpy as np

_RATE, _SECONDS = 250, 30
_SAMPLES = _RATE * _SECONDS
_SCALES = np.geomspace(135, 270, num=15)


def sleep(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thirty seconds of sleep each, with none to five spindles: bursts of 11 to 15 Hz, half to two seconds long.

    Returns:
        raw: float32 (count, 1, 7500), z-scored; scalogram: float32 (count, 15, 7500), z-scored over the window of each
        scale; labels: uint8 (count, 7500), 1 inside a spindle.
    """
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    raw = np.empty((count, 1, _SAMPLES), dtype=np.float32)
    scales = np.empty((count, len(_SCALES), _SAMPLES), dtype=np.float32)
    labels = np.zeros((count, _SAMPLES), dtype=np.uint8)
    time = np.arange(_SAMPLES) / _RATE
    for index in range(count):
        signal = _background(_SAMPLES, _RATE, noise)
        for _ in range(rng.randint(0, 5)):
            length = rng.uniform(0.6, 1.8)
            begin = rng.uniform(0.5, _SECONDS - 0.5 - length)
            inside = (time >= begin) & (time < begin + length)
            phase = (time[inside] - begin) / length
            pitch = rng.uniform(12.0, 14.5)
            burst = np.sin(np.pi * phase) ** 0.7 * np.sin(2 * np.pi * pitch * time[inside])
            signal[inside] += rng.uniform(0.9, 1.8) * burst
            labels[index, inside] = 1
        signal -= signal.mean()
        raw[index, 0] = _z(signal)
        scales[index] = _z(_scalogram(signal))
    return raw, scales, labels


def spectrograms(count: int, seed: int, seconds: int = 60, rate: int = 500) -> np.ndarray:
    """Intracranial EEG, in half of the samples with a rhythmic discharge: float32 (count, 100, 2·seconds - 1).

    One-second spectra each half second, 0 to 99 Hz, z-scored over time (a Tukey window, constant detrending, as
    scipy.signal.spectrogram does it by default).
    """
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    result = np.empty((count, 100, 2 * seconds - 1), dtype=np.float32)
    time = np.arange(seconds * rate) / rate
    for index in range(count):
        signal = _background(seconds * rate, rate, noise)
        if index % 2:
            begin = rng.uniform(0.1, 0.6) * seconds
            inside = time >= begin
            slowing = np.cumsum(np.linspace(rng.uniform(8, 14), rng.uniform(2, 4), inside.sum())) / rate
            signal[inside] += rng.uniform(2, 6) * np.abs(np.sin(np.pi * slowing)) ** 0.3
            signal[inside] += noise.normal(0, 0.7, inside.sum())
        signal = _z(signal)
        starts = np.arange(2 * seconds - 1) * (rate // 2)
        parts = np.stack([signal[start : start + rate] for start in starts])
        parts = (parts - parts.mean(axis=1, keepdims=True)) * _tukey(rate)
        power = np.abs(np.fft.rfft(parts, axis=1)[:, :100].T) ** 2
        result[index] = _z(power)
    return result


def _background(samples: int, rate: int, noise: np.random.Generator) -> np.ndarray:
    """Noise whose power falls as 1/f from 0.5 Hz, of deviation 1."""
    frequencies = np.maximum(np.fft.rfftfreq(samples, 1 / rate), 0.5)
    spectrum = np.fft.rfft(noise.normal(0, 1, samples)) / frequencies**0.75
    signal = np.fft.irfft(spectrum, samples)
    scaled: np.ndarray = signal / signal.std()
    return scaled


def _z(signal: np.ndarray) -> np.ndarray:
    """Mean 0, deviation 1 along the last axis."""
    deviation = signal.std(axis=-1, keepdims=True)
    scaled: np.ndarray = (signal - signal.mean(axis=-1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)
    return scaled


def _tukey(samples: int, share: float = 0.25) -> np.ndarray:
    """A window with cosine edges over `share` of its length, periodic."""
    position = np.arange(samples) / samples
    edge = np.minimum(position, 1 - position) / (share / 2)
    window: np.ndarray = np.where(edge < 1, 0.5 * (1 - np.cos(np.pi * edge)), 1.0)
    return window


def _scalogram(signal: np.ndarray) -> np.ndarray:
    """Magnitude of the wavelet transform with the complex Shannon wavelet of bandwidth 6 and centre 13 (scales, n)."""
    size, spectra, offsets = _wavelets(len(signal))
    transformed = np.fft.fft(signal, size)
    rows = [
        np.abs(np.fft.ifft(transformed * spectrum))[offset : offset + len(signal)]
        for spectrum, offset in zip(spectra, offsets, strict=True)
    ]
    return np.stack(rows)


@functools.cache
def _wavelets(samples: int) -> tuple[int, list[np.ndarray], list[int]]:
    """FFT length, spectrum of each scale's differenced integral, and where the middle part begins."""
    x = np.linspace(-20.0, 20.0, 2**10)
    step = x[1] - x[0]
    integral = np.conj(np.cumsum(np.sqrt(6.0) * np.sinc(6.0 * x) * np.exp(2j * np.pi * 13.0 * x)) * step)
    kernels = []
    for scale in _SCALES:
        places = (np.arange(scale * 40.0 + 1) / (scale * step)).astype(int)
        kernels.append(integral[places[places < integral.size]][::-1])
    size = 1 << (samples + max(map(len, kernels))).bit_length()
    spectra = [
        -np.sqrt(scale) * np.fft.fft(np.diff(np.concatenate(([0.0], kernel, [0.0]))), size)
        for scale, kernel in zip(_SCALES, kernels, strict=True)
    ]
    return size, spectra, [int((len(kernel) - 2) // 2) + 1 for kernel in kernels]
