"""What is typical for mistakes in data and preprocessing, found from figures alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgedeploy.values.data_summary import ChannelFacts, ClassCount, DataSummary, SeenInput

_LARGEST_TYPICAL = 12.0
"""Standardized pixels lie within 3 standard deviations of ImageNet's means; with its smallest deviation of 0.225, white
is at 2.64. Scaled ones are within 1. Values far beyond are mostly pixels that nobody scaled."""
_SMALLEST_SPREAD = 0.02
"""Of values that a model takes: pixels that were scaled twice lie within 1 / 255."""
_OUTSIDE = 0.1
"""Of the calibration data's range: values that are further outside are cut off by the quantizer."""
_MEANS_APART = 0.35
"""Of the spread: where the means of two channels differ by more, and in the other direction in the calibration data."""


def range_warnings(inputs: Sequence[SeenInput]) -> Iterator[str]:
    """Say which inputs have values that models seldom take."""
    for seen in inputs:
        if not seen.dtype.startswith("float") or not seen.channels or len(seen.shape) != 4:
            continue
        low, high = _extremes(seen.channels)
        if max(abs(low), abs(high)) > _LARGEST_TYPICAL:
            yield (
                f"{seen.name} gets values from {low:.4g} to {high:.4g}; models mostly take [0, 1], [-1, 1] or within 3 "
                "standard deviations: check scale, mean and std"
            )
        elif 0 < high - low < _SMALLEST_SPREAD:
            yield f"{seen.name} gets values from {low:.4g} to {high:.4g}, nearly the same for all: scaled twice?"
        elif low == high:
            yield f"{seen.name} gets the value {low:.4g} only"


def calibration_warnings(inputs: Sequence[SeenInput], calibration: Sequence[SeenInput]) -> Iterator[str]:
    """Say where data leaves the range of the calibration data, and where two channels look swapped against it."""
    by_name = {seen.name: seen for seen in calibration}
    for seen in inputs:
        other = by_name.get(seen.name)
        if other is None or not seen.channels or len(other.channels) != len(seen.channels):
            continue
        (low, high), (known_low, known_high) = _extremes(seen.channels), _extremes(other.channels)
        slack = _OUTSIDE * (known_high - known_low)
        if low < known_low - slack or high > known_high + slack:
            yield (
                f"{seen.name} has values from {low:.4g} to {high:.4g}, and the calibration data from {known_low:.4g} "
                f"to {known_high:.4g}: what lies outside is cut off in a quantized model"
            )
        if len(seen.channels) == 3 and _swapped(seen.channels, other.channels):
            yield (
                f"{seen.name}: the first and the last channel look swapped against the calibration data "
                "(BGR for RGB): check color in both"
            )


def class_warnings(classes: Sequence[ClassCount], *, outputs: int | None, task: str | None) -> Iterator[str]:
    """Say what is wrong with numbers of classes.

    Args:
        outputs: classes that the model tells apart; None where that is not known.
    """
    present = [each.number for each in classes if each.count]
    if not present:
        return
    if len(present) == 1 and task == "classification":
        yield f"all labels are of the class {_named(classes, present[0])}: no metric means anything over one class"
    if outputs is None:
        return
    if max(present) >= outputs:
        off_by_one = min(present) == 1 and max(present) == outputs
        said = ": they seem to begin at 1, and have to begin at 0" if off_by_one else ""
        yield f"labels go up to {max(present)}, and the model has {outputs} classes, 0 to {outputs - 1}{said}"
    elif min(present) == 1 and len(present) > 2 and max(present) == outputs - 1 and not any(e.name for e in classes):
        yield f"no label is of class 0, and the model has {outputs} classes: check that labels begin at 0"


def flat_warning(flat: int, looked_at: int) -> Iterator[str]:
    """Say that pictures are of one color."""
    if flat:
        yield f"{flat:,} of {looked_at:,} pictures are of a single color"


def number_folder_warning(summary: DataSummary) -> Iterator[str]:
    """Say that folders named by numbers are ordered as text, which makes 10 come before 2."""
    names = [each.name for each in summary.classes]
    if summary.format == "imagefolder" and names and all(map(str.isdecimal, names)):
        numbers = [int(name) for name in names]
        if numbers != sorted(numbers):
            yield (
                "folders are numbers, and are ordered as text, as torchvision does: class 1 is the folder "
                f"{names[1]!r}; declare class_names where the model has another order"
            )


def _extremes(channels: Sequence[ChannelFacts]) -> tuple[float, float]:
    return min(each.minimum for each in channels), max(each.maximum for each in channels)


def _swapped(channels: Sequence[ChannelFacts], known: Sequence[ChannelFacts]) -> bool:
    """Return whether first and last channel differ clearly, and the other way round in the other data."""
    mine, others = channels[0].mean - channels[-1].mean, known[0].mean - known[-1].mean
    spreads = max(channels[0].deviation, channels[-1].deviation), max(known[0].deviation, known[-1].deviation)
    return mine * others < 0 and abs(mine) > _MEANS_APART * spreads[0] and abs(others) > _MEANS_APART * spreads[1]


def _named(classes: Sequence[ClassCount], number: int) -> str:
    name = next((each.name for each in classes if each.number == number), "")
    return f"{number} ({name})" if name else str(number)
