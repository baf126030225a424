"""Small sound files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def tone(seconds: float, rate_hz: int = 16_000, hz: float = 440.0) -> np.ndarray:
    """A tone, float64, in [-0.5, 0.5]."""
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def save_sound(path: Path, samples: np.ndarray, rate_hz: int = 16_000, subtype: str | None = None) -> Path:
    """Write a sound file in the format that its ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz, subtype)
    return path
