"""Makes previews of samples from the arrays that a model takes."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from edgedeploy.datasets.base import Sample
from edgedeploy.foundation.sanitize import one_line
from edgedeploy.plots.png import png
from edgedeploy.values.sample_preview import SamplePreview

_MOST_SAMPLES = 6
_MOST_PIXELS = 9216
"""A picture of 192 × 48, or 96 × 96: 27 kB before compression."""
_SMALLEST_SIDE = 8
_MOST_VALUES = 120
_FEW_NUMBERS = 8
_MOST_CHARACTERS = 200
_MOST_READ = 100_000
"""Samples that are read to reach those that are shown."""


def samples_at(samples: Iterator[Sample], places: Collection[int]) -> Iterator[tuple[int, int, Sample]]:
    """Yield the samples at the first 6 of `places` in order: each place, the row in its feed, and the feed.

    Args:
        samples: of a dataset, from its beginning. A feed with several labels holds as many samples.
        places: in the dataset, from 0.
    """
    wanted = sorted(places)[:_MOST_SAMPLES]
    begin = 0
    for sample in samples:
        while wanted and wanted[0] < begin + sample.size:
            place = wanted.pop(0)
            yield place, place - begin, sample
        begin += sample.size
        if not wanted or begin > _MOST_READ:
            return


def preview(place: int, name: str, array: np.ndarray) -> SamplePreview:
    """Return the preview of one input of one sample, whatever its type and shape."""
    shape = tuple(int(extent) for extent in array.shape)
    flat = array.ravel()
    if array.dtype.kind in "USO":
        text = one_line(" | ".join(map(str, flat[:20].tolist())), limit=_MOST_CHARACTERS)
        return SamplePreview(place=place, input=name, shape=shape, text=text or "(empty)")
    if (pixels := _pixels(array)) is not None:
        return SamplePreview(place=place, input=name, shape=shape, png=png(pixels))
    if flat.size <= _FEW_NUMBERS:
        text = one_line(", ".join(f"{value:.6g}" for value in flat.tolist()), limit=_MOST_CHARACTERS)
        return SamplePreview(place=place, input=name, shape=shape, text=text or "(empty)")
    stretches = np.array_split(_finite(flat), min(flat.size, _MOST_VALUES))
    values = tuple(float(stretch.mean()) for stretch in stretches)
    return SamplePreview(place=place, input=name, shape=shape, values=values)


def preview_at(place: int, row: int, sample: Sample) -> SamplePreview:
    """Return the preview of one input of a sample that `samples_at` gave: one that is a picture, else text, else the
    first."""
    count = sample.size
    made = [
        preview(place, name, array[row : row + 1] if count > 1 and array.shape[:1] == (count,) else array)
        for name, array in sample.feed.items()
    ]
    return next((one for one in made if one.png), None) or next((one for one in made if one.text), made[0])


def _pixels(array: np.ndarray) -> np.ndarray | None:
    """Return an array that has the shape of a picture as pixels, its values stretched over 0 to 255; else None."""
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[0] == 3:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    is_picture = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if not is_picture or min(array.shape[:2]) < _SMALLEST_SIDE:
        return None
    # Every nth pixel: averages would take all of a large picture.
    step = 1
    while -(-array.shape[0] // step) * -(-array.shape[1] // step) > _MOST_PIXELS:
        step += 1
    values = _finite(array[::step, ::step])
    low, high = float(values.min()), float(values.max())
    scaled: np.ndarray = ((values - low) / ((high - low) or 1.0) * 255).round().astype(np.uint8)
    return scaled


def _finite(array: np.ndarray) -> np.ndarray:
    """Return the values as float64, none of them so large that a difference overflows."""
    limit = np.finfo(np.float64).max / 1e6
    values: np.ndarray = np.clip(np.nan_to_num(array.astype(np.float64)), -limit, limit)
    return values
