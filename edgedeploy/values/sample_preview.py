"""What one sample looks like, small enough for a page."""

from __future__ import annotations

from msgspec import Struct


class SamplePreview(Struct, frozen=True, kw_only=True):
    """One input of one sample. One of `png`, `values` and `text` is there."""

    place: int
    """In the dataset, from 0."""
    input: str
    """Name of the model's input."""
    shape: tuple[int, ...]
    """Of the array that it was made from."""
    png: bytes | None = None
    """A picture, for an array that has the shape of one; in JSON, in base64."""
    values: tuple[float, ...] = ()
    """For a vector or a waveform: at most 120 of its values, each the mean of a stretch."""
    text: str = ""
    """For strings, and for a few numbers: at most 200 characters."""
