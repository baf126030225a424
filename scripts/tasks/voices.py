"""Synthesized speech: phrases said by eSpeak NG in voices that training and judging do not share."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from wild.sounds import RATE, Speaker

Phrase = tuple[str, str, int, int]
"""Text, voice, words a minute, pitch from 0 to 100."""

_LEARNED = ("en-us", "en-gb-scotland", "en-us+m1", "en-us+m2", "en-us+m3", "en-us+f1", "en-us+f2", "en-gb-scotland+m4")
_JUDGED = ("en-us+m5", "en-us+m7", "en-us+f3", "en-us+f4", "en-gb-scotland+f5", "en-gb-scotland+m6")


def phrase(text: str, part: str, rng: random.Random) -> Phrase:
    """A phrase in one of the voices of `"training"`, `"calibration"` or `"evaluation"`."""
    voices = _JUDGED if part == "evaluation" else _LEARNED
    return text, rng.choice(voices), rng.randint(120, 190), rng.randint(20, 80)


def say_all(package: Path, phrases: Sequence[Phrase]) -> list[np.ndarray]:
    """Each phrase spoken, float64 in [-1, 1] at `wild.sounds.RATE`.

    In a process of its own: what eSpeak NG says depends a little on all that it said before.

    Args:
        package: the folder `espeakng_loader`.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_say_all, package, phrases).result()


def _say_all(package: Path, phrases: Sequence[Phrase]) -> list[np.ndarray]:
    speaker = Speaker(package)
    return [speaker.say(*each) for each in phrases]


def in_noise(spoken: np.ndarray, samples: int, rng: np.random.Generator, *, at_end: bool) -> np.ndarray:
    """A phrase in a recording of so many samples, in a little noise, longer ones cut at their begin.

    Args:
        at_end: the phrase ends a tenth to a third of a second before the recording does; else it begins at its begin.
    """
    recording = np.zeros(samples)
    if at_end:
        spoken = spoken[-samples:]
        first = max(0, samples - len(spoken) - int(rng.uniform(0.1, 0.3) * RATE))
    else:
        first = int(rng.uniform(0.02, 0.1) * RATE)
    spoken = spoken[: samples - first]
    recording[first : first + len(spoken)] = spoken * rng.uniform(0.2, 0.9)
    level = 10 ** (-rng.uniform(25, 45) / 20)
    return np.clip(recording + rng.normal(0, level * 0.3, samples), -1, 1)
