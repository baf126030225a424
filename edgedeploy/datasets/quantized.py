"""Real numbers as an input takes them that is quantized: `.tflite` models of integers have such."""

from __future__ import annotations

import numpy as np

from edgedeploy.values.model import TensorFacts


def is_quantized(facts: TensorFacts) -> bool:
    """Return whether an input's integers stand for real numbers."""
    return facts.scale is not None and np.dtype(facts.dtype).kind in "iu"


def as_input(values: np.ndarray, facts: TensorFacts) -> np.ndarray:
    """Return real numbers in an input's dtype; of a quantized one the nearest integers, as TensorFlow Lite rounds
    them (https://ai.google.dev/edge/litert/models/quantization_spec): what is out of its range becomes its end."""
    if facts.scale is None or not is_quantized(facts):
        return values.astype(facts.dtype)
    limits = np.iinfo(facts.dtype)
    steps = np.rint(values.astype(np.float64) / facts.scale) + (facts.zero_point or 0)
    clipped: np.ndarray = np.clip(steps, limits.min, limits.max)
    return clipped.astype(facts.dtype)
