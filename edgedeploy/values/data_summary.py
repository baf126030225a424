"""What a dataset looks like to a model, as `edgedeploy data show` prints it."""

from __future__ import annotations

from msgspec import Struct

from edgedeploy.values.data import Task


class ChannelFacts(Struct, frozen=True, kw_only=True):
    """The values of one channel of an input, as the model gets them."""

    minimum: float
    mean: float
    maximum: float
    deviation: float
    """The standard deviation."""


class SeenInput(Struct, frozen=True, kw_only=True):
    """One input over the samples that were looked at."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    """Of the first feed."""
    channels: tuple[ChannelFacts, ...]
    """One for each channel of a picture; else one for all values. Empty for text."""


class ClassCount(Struct, frozen=True, kw_only=True):
    """How many labels are of one class."""

    number: int
    name: str
    """Empty where the data has no names."""
    count: int


class DataSummary(Struct, frozen=True, kw_only=True):
    """What a dataset is, and what is suspicious about it."""

    data: str
    format: str
    why: str
    """What told the format."""
    task: Task | None
    samples: int | None
    """Feeds; None where only running it tells."""
    looked_at: int
    """Samples that the figures below are over."""
    labels: str
    """What they are, in words."""
    classes: tuple[ClassCount, ...]
    """Of all labels where `all_counted`, else of the samples that were looked at."""
    all_counted: bool
    picture_sizes: tuple[tuple[int, int], ...]
    """Width and height of the smallest, the middle and the largest picture by area; empty where there are none."""
    notes: tuple[str, ...]
    """What was done that nobody declared (classes numbered by name, recordings resampled), and what was lost in
    reading: transparency, the lower 8 of 16 bits, and how often."""
    preprocessing: tuple[str, ...]
    """The steps in words; empty where the data holds what the model takes."""
    inputs: tuple[SeenInput, ...]
    skipped: int
    skipped_samples: tuple[str, ...]
    warnings: tuple[str, ...]
    """What is typical for mistakes."""
    contact_sheet: str | None = None
    """The file that shows the first samples."""
