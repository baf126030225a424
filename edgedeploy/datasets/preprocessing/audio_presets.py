"""What published models of sound were trained on, by name, each with its source."""

from __future__ import annotations

from msgspec import structs

from edgedeploy.datasets.preprocessing.audio import check_audio
from edgedeploy.datasets.preprocessing.declared import declared_preprocessing
from edgedeploy.foundation.errors import UnknownNameError
from edgedeploy.foundation.suggest import did_you_mean
from edgedeploy.values.data import DataSource
from edgedeploy.values.preprocessing import AudioPreprocessing

AUDIO_PRESETS: dict[str, AudioPreprocessing] = {
    # https://github.com/openai/whisper/blob/v20250625/whisper/audio.py; large-v3 has mel_bands = 128.
    "whisper": AudioPreprocessing(duration_s=30.0, features="log-mel", mel_bands=80, log="whisper"),
    # zero_mean_unit_var_norm of
    # https://github.com/huggingface/transformers/blob/v4.57.0/src/transformers/models/wav2vec2/feature_extraction_wav2vec2.py
    "wav2vec2": AudioPreprocessing(normalize="recording", normalize_floor=1e-7),
    # get_spectrogram of https://www.tensorflow.org/tutorials/audio/simple_audio: words of one second. tf.signal's
    # periodic windows of an odd length are symmetric.
    "simple-audio": AudioPreprocessing(
        duration_s=1.0,
        features="spectrogram",
        window_periodic=False,
        window_samples=255,
        fft_samples=256,
        hop_samples=128,
        center=False,
        power=1.0,
        layout="time-first",
    ),
    # feature_type "mfcc" of https://github.com/mlcommons/tiny/blob/master/benchmark/training/keyword_spotting/get_dataset.py
    # with the defaults of its kws_util.py.
    "mlperf-tiny-kws": AudioPreprocessing(
        peak=True,
        duration_s=1.0,
        features="mfcc",
        window_samples=480,
        fft_samples=512,
        hop_samples=320,
        center=False,
        power=1.0,
        mel_bands=40,
        mel_scale="htk",
        mel_norm="none",
        mel_min_hz=20.0,
        mel_max_hz=4000.0,
        mel_triangles="mel",
        log="natural",
        log_offset=1e-6,
        coefficients=10,
        dct="htk",
        layout="time-first",
    ),
}


def audio_preprocessing(source: DataSource) -> AudioPreprocessing:
    """Return the preprocessing of recordings that a source declares: its preset's, changed by its other keys.

    Raises:
        DatasetError: a key is unknown, has another type, or does not go with the others.
        UnknownNameError: there is no such preset.
    """
    declared = declared_preprocessing(source, AudioPreprocessing)
    if declared.preset:
        if declared.preset not in AUDIO_PRESETS:
            raise UnknownNameError(
                f"{source.path}: there is no preset {declared.preset!r} for sound",
                why=f"known: {', '.join(AUDIO_PRESETS)}",
                hint=did_you_mean(declared.preset, AUDIO_PRESETS, "state the keys of [preprocessing] one by one"),
            )
        changed = {key: getattr(declared, key) for key in source.preprocessing}
        declared = structs.replace(AUDIO_PRESETS[declared.preset], **changed)
    check_audio(declared, source.path)
    return declared
