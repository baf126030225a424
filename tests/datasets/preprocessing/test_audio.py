"""Features of sound, against values that librosa, Whisper, transformers and TensorFlow gave (scripts/peers).

Tolerances: ours are computed in float64 and theirs in float32, whose steps near a spectrum's largest value are what is
allowed, relative to it; after a logarithm 1e-3 (of values that may be 1e-10 of the largest).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from edgedeploy.datasets.preprocessing.audio import check_audio, prepare_sound
from edgedeploy.datasets.preprocessing.audio_presets import AUDIO_PRESETS, audio_preprocessing
from edgedeploy.foundation.errors import DatasetError, UnknownNameError
from edgedeploy.values.data import DataSource
from edgedeploy.values.preprocessing import AudioPreprocessing

_RECORDED = Path(__file__).parents[2] / "data/sound"
TORCH = np.load(_RECORDED / "torch.npz")
TENSORFLOW = np.load(_RECORDED / "tensorflow.npz")
SIGNAL = TORCH["signal"]
_LIBROSA: dict[str, Any] = {"fft_samples": 512, "window_samples": 400, "mel_bands": 40}


def features(**keys: Any) -> np.ndarray:
    preprocessing = AudioPreprocessing(**keys)
    check_audio(preprocessing, "data")
    return prepare_sound(SIGNAL, preprocessing)


def without_duration(preset: str) -> np.ndarray:
    return prepare_sound(SIGNAL, structs.replace(AUDIO_PRESETS[preset], duration_s=None))


def assert_near(found: np.ndarray, expected: np.ndarray, relative: float) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=relative * float(np.abs(expected).max()))


def test_samples_pass_as_they_are():
    np.testing.assert_array_equal(features(), SIGNAL)


def test_preemphasis_is_librosas():
    assert_near(features(preemphasis=0.97), TORCH["preemphasis"], 1e-6)


def test_spectra_are_librosas():
    assert_near(features(features="spectrogram", power=1.0, **_LIBROSA)[::8], TORCH["spectrogram"], 1e-6)
    symmetric = features(features="spectrogram", power=1.0, window="hamming", window_periodic=False, center=False)
    assert_near(symmetric[::8], TORCH["hamming_symmetric"], 1e-6)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("mel_slaney", {}),
        ("mel_htk", {"mel_scale": "htk", "mel_norm": "none", "mel_min_hz": 20.0, "mel_max_hz": 4000.0}),
    ],
)
def test_mel_bands_are_librosas(name, keys):
    assert_near(features(features="mel", **_LIBROSA, **keys), TORCH[name], 2e-6)


def test_decibels_and_cepstra_are_librosas():
    keys = {"log": "db", "log_range": 80.0, **_LIBROSA}
    np.testing.assert_allclose(features(features="log-mel", **keys), TORCH["db"], atol=1e-3)
    np.testing.assert_allclose(features(features="mfcc", **keys), TORCH["mfcc"], atol=1e-3)


def test_whispers_log_mel_is_whispers_own():
    np.testing.assert_allclose(without_duration("whisper"), TORCH["whisper"], atol=1e-4)
    assert prepare_sound(SIGNAL, AUDIO_PRESETS["whisper"]).shape == (80, 3000)


def test_wav2vec2_is_scaled_as_transformers_does():
    np.testing.assert_allclose(without_duration("wav2vec2"), TORCH["wav2vec2"], atol=1e-5)


def test_words_are_as_tensorflows_tutorial_and_mlperf_tiny_have_them():
    assert_near(without_duration("simple-audio")[::4], TENSORFLOW["simple_audio"], 1e-6)
    np.testing.assert_allclose(without_duration("mlperf-tiny-kws"), TENSORFLOW["mlperf_tiny_kws"], atol=1e-3)
    shapes = {name: prepare_sound(SIGNAL, AUDIO_PRESETS[name]).shape for name in ("simple-audio", "mlperf-tiny-kws")}
    assert shapes == {"simple-audio": (124, 129), "mlperf-tiny-kws": (49, 10)}


def test_recordings_are_cut_and_filled():
    cut, filled = features(duration_s=0.1), features(duration_s=0.2)
    np.testing.assert_array_equal(cut, SIGNAL[:1600])
    np.testing.assert_array_equal(filled, np.concatenate((SIGNAL, np.zeros(800, np.float32))))


def test_many_frames_are_as_few_at_a_time():
    """A thousand frames are in memory at once; the parts have to be joined as if they were one."""
    preprocessing = AudioPreprocessing(features="mel", hop_samples=1, center=False)
    whole, tail = prepare_sound(SIGNAL, preprocessing), prepare_sound(SIGNAL[1000:], preprocessing)
    np.testing.assert_array_equal(whole[:, 1000:], tail)


def test_bands_are_normalized_over_time_and_scaled():
    bands = features(features="log-mel", log="natural", normalize="bands", normalize_floor=1e-12, layout="time-first")
    assert bands.shape == (16, 80)
    np.testing.assert_allclose(bands.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(bands.std(axis=0), 1, atol=1e-4)
    scaled = features(features="log-mel", log="natural", mel_bands=2, mean=(1.0, 2.0), std=(2.0, 4.0))
    plain = features(features="log-mel", log="natural", mel_bands=2)
    np.testing.assert_allclose(scaled, (plain - [[1], [2]]) / [[2], [4]], rtol=1e-6)


@pytest.mark.parametrize("preset", AUDIO_PRESETS)
def test_silence_and_shortest_recordings_are_numbers(preset):
    for samples in (np.zeros(16_000, np.float32), np.ones(1, np.float32)):
        values = prepare_sound(samples, AUDIO_PRESETS[preset])
        assert np.isfinite(values).all()


def test_a_recording_shorter_than_a_window_is_refused():
    with pytest.raises(DatasetError, match="one window 400"):
        prepare_sound(SIGNAL[:399], AudioPreprocessing(features="mel", center=False))


def test_a_recording_that_would_fill_the_memory_is_refused():
    with pytest.raises(DatasetError, match="frames of 1024 bands"):
        prepare_sound(np.zeros(200_000, np.float32), AudioPreprocessing(features="mel", hop_samples=1, mel_bands=1024))


def test_a_preset_is_changed_by_the_other_keys():
    found = audio_preprocessing(DataSource(path="x", preprocessing={"preset": "whisper", "mel_bands": 128}))
    assert found == structs.replace(AUDIO_PRESETS["whisper"], mel_bands=128, preset="whisper")
    with pytest.raises(UnknownNameError, match="no preset 'wisper'") as caught:
        audio_preprocessing(DataSource(path="x", preprocessing={"preset": "wisper"}))
    assert "did you mean 'whisper'" in caught.value.hint


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"hop_samples": 0}, "hop_samples = 0"),
        ({"window_samples": 401}, "expected 1 to fft_samples"),
        ({"mel_max_hz": 9000.0}, "half of the rate"),
        ({"features": "mfcc"}, 'log = "none"'),
        ({"features": "mfcc", "log": "db", "coefficients": 99}, "coefficients = 99"),
        ({"std": (0.0,)}, "std has a 0"),
        ({"features": "mel", "mean": (1.0, 2.0)}, "expected 1 or 80"),
        ({"rate_hz": 0}, "rate_hz = 0"),
        ({"duration_s": 0.0}, "duration_s = 0"),
        ({"log_floor": 0.0}, "log_floor"),
        ({"features": "mels"}, "Invalid enum value"),
        ({"rate": 8000}, "no key 'rate'"),
    ],
)
def test_settings_that_cannot_be_are_named(keys, said):
    with pytest.raises(DatasetError) as caught:
        audio_preprocessing(DataSource(path="data", preprocessing=keys))
    assert said in str(caught.value)
