"""What one sample looks like, small enough for a page."""

from __future__ import annotations

from msgspec import Struct


class ShownObject(Struct, frozen=True, kw_only=True):
    """One object in a picture."""

    name: str
    """Its class, with a score where it has one: `"3 (0.82)"`."""
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1, as shares of the picture's width and height."""
    points: tuple[tuple[float, float], ...] = ()
    """Keypoints that are visible: x and y, as shares."""


class ShownAnswer(Struct, frozen=True, kw_only=True):
    """What is right for one sample, or what a model answers."""

    whose: str
    """`"label"`, `"float model"` or `"optimized"`."""
    text: str = ""
    """A class, a transcript or a few numbers: at most 200 characters."""
    objects: tuple[ShownObject, ...] = ()
    """At most 20, those with the highest scores."""
    mask: bytes | None = None
    """A picture of the classes of the pixels, as PNG; in JSON, in base64."""


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
    answers: tuple[ShownAnswer, ...] = ()
    """The label first, then what each model answers."""
