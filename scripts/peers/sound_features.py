"""What librosa, Whisper, transformers and TensorFlow make of one short signal: values that tests compare ours with.

Usage: python sound_features.py PEER OUT.npz

PEER is `torch` (librosa, openai-whisper and transformers) or `tensorflow`. The signal goes along in the file.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

RATE_HZ = 16_000


def signal(samples: int = 2400) -> np.ndarray:
    """A sweep from 100 to 6000 Hz under noise, float32, in [-1, 1]."""
    time = np.arange(samples) / RATE_HZ
    sweep = np.sin(2 * np.pi * (100 * time + 5900 / (2 * samples / RATE_HZ) * time**2))
    noise = np.random.default_rng(7).standard_normal(samples)
    return np.clip(0.5 * sweep + 0.05 * noise, -1, 1).astype(np.float32)


def from_torch(samples: np.ndarray) -> dict[str, Any]:
    """librosa with its defaults but for those named; Whisper's and wav2vec2's own."""
    import librosa  # type: ignore[import-not-found]
    import soxr  # type: ignore[import-untyped]
    import torch
    import whisper.audio  # type: ignore[import-not-found]
    from transformers import Wav2Vec2FeatureExtractor  # type: ignore[import-not-found]

    stft = {"n_fft": 512, "hop_length": 160, "win_length": 400, "pad_mode": "reflect"}
    mel = {"y": samples, "sr": RATE_HZ, "n_mels": 40, **stft}
    slaney = librosa.feature.melspectrogram(**mel)
    htk = librosa.feature.melspectrogram(**mel, htk=True, norm=None, fmin=20.0, fmax=4000.0)
    wav2vec2 = Wav2Vec2FeatureExtractor(do_normalize=True)
    return {
        "preemphasis": librosa.effects.preemphasis(samples, coef=0.97, zi=[0.0]),
        "spectrogram": np.abs(librosa.stft(samples, **stft))[::8],
        "mel_slaney": slaney,
        "mel_htk": htk,
        "db": librosa.power_to_db(slaney, top_db=80.0),
        "mfcc": librosa.feature.mfcc(S=librosa.power_to_db(slaney, top_db=80.0), n_mfcc=13),
        "filters_slaney": librosa.filters.mel(sr=RATE_HZ, n_fft=512, n_mels=20),
        "hamming_symmetric": np.abs(
            librosa.stft(samples, n_fft=400, hop_length=160, window=np.hamming(400), center=False)
        )[::8],
        "whisper": whisper.audio.log_mel_spectrogram(torch.from_numpy(samples)).numpy(),
        "wav2vec2": wav2vec2(samples, sampling_rate=RATE_HZ, return_tensors="np").input_values[0],
        "from_16000_to_11025": librosa.resample(samples, orig_sr=RATE_HZ, target_sr=11_025),
        "from_16000_to_48000": soxr.resample(samples, RATE_HZ, 48_000)[:1500],
    }


def from_tensorflow(samples: np.ndarray) -> dict[str, Any]:
    """The front ends of the tutorial `simple_audio` and of MLPerf Tiny's keyword spotting, as they write them."""
    import tensorflow as tf  # type: ignore[import-untyped]

    simple = tf.abs(tf.signal.stft(samples, frame_length=255, frame_step=128))
    scaled = samples / samples.max()
    spectrum = tf.abs(tf.signal.stft(scaled, frame_length=480, frame_step=320, window_fn=tf.signal.hann_window))
    filters = tf.signal.linear_to_mel_weight_matrix(40, spectrum.shape[-1], RATE_HZ, 20.0, 4000.0)
    log_mel = tf.math.log(tf.tensordot(spectrum, filters, 1) + 1e-6)
    return {
        "simple_audio": simple.numpy()[::4],
        "mlperf_tiny_kws": tf.signal.mfccs_from_log_mel_spectrograms(log_mel)[..., :10].numpy(),
    }


def main() -> None:
    peer, out = sys.argv[1:3]
    samples = signal()
    found = from_torch(samples) if peer == "torch" else from_tensorflow(samples)
    arrays: dict[str, Any] = {name: np.asarray(values, np.float32) for name, values in found.items()}
    np.savez_compressed(out, signal=samples, **arrays)


if __name__ == "__main__":
    main()
