"""Says what is done to samples before a model sees them, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgedeploy.values.preprocessing import EmbeddedPreprocessing

_SHOWN = {"preset": "", "resize": "", "size": "", "crop": "crop ", "color": "", "features": "", "rate_hz": "Hz "}
"""The keys that tell one preprocessing from another at a glance, and the words before their values."""


def preprocessing_in_words(declared: Mapping[str, Any], embedded: EmbeddedPreprocessing | None) -> str:
    """Return one line; empty where nothing was declared.

    Args:
        declared: the keys of `[preprocessing]`.
        embedded: what of it is inside the model; None: nothing.
    """
    parts = [f"{words}{_extents(declared[key])}" for key, words in _SHOWN.items() if declared.get(key)]
    if not declared:
        return ""
    what = ", ".join(parts) or "declared"
    if embedded is None:
        return f"{what}; by the application"
    where = "inside the model" if not embedded.outside else f"inside the model, but for resizing ({embedded.outside})"
    off = (
        f"at most {embedded.input_difference:g} of 255 levels off, answers {embedded.answer_difference:.2%}"
        if embedded.input_difference
        else "the declared numbers"
    )
    return f"{what}; {where}: {off}"


def _extents(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
