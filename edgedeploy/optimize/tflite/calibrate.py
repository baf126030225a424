"""The range of values that a TensorFlow Lite model's tensors take on sample data.

Memory does not grow with the number of samples: the runtime holds one sample's values, they are looked at one tensor at
a time, and what is kept of a tensor has a fixed size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

import numpy as np

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.inference.litert import TfliteSession
from edgedeploy.optimize.base import Context, PassSkipped
from edgedeploy.optimize.quantize.calibration import DEFAULT_PERCENTILE, Method
from edgedeploy.optimize.quantize.histogram import Histogram, HistogramBuilder, Range
from edgedeploy.optimize.quantize.range_estimators import entropy_range, least_squares_range, percentile_range

_FROM_EXTREMES = ("min-max", "mean-min-max")


class TensorRanges:
    """What calibration saw of each tensor."""

    def __init__(self, tensors: Collection[str], *, histograms: bool) -> None:
        self.samples = 0
        self.tensors = frozenset(tensors)
        self.histograms = histograms
        self._extremes = {name: np.zeros(2) for name in tensors}
        self._means = {name: np.zeros(2) for name in tensors}
        self._builders = {name: HistogramBuilder() for name in tensors} if histograms else {}
        self._histograms: dict[str, Histogram] = {}

    def add(self, name: str, values: np.ndarray) -> None:
        """Take in what a tensor holds on one sample. float32, any shape, not empty, finite."""
        low, high = float(values.min()), float(values.max())
        extremes = np.array([min(low, 0.0), max(high, 0.0)])
        known = self._extremes[name]
        known[0], known[1] = min(known[0], extremes[0]), max(known[1], extremes[1])
        self._means[name] += (extremes - self._means[name]) / (self.samples + 1)
        if self._builders:
            self._builders[name].add(values, low, high)

    def range(self, name: str, method: Method, percentile: float = DEFAULT_PERCENTILE) -> Range:
        """The range that `method` chooses; see `calibration.Method`."""
        match method:
            case "min-max":
                low, high = self._extremes[name]
                return Range(float(low), float(high))
            case "mean-min-max":
                low, high = self._means[name]
                return Range(float(low), float(high))
            case "percentile":
                return percentile_range(self._histogram(name), percentile)
            case "entropy":
                return entropy_range(self._histogram(name))
            case "mse":
                return least_squares_range(self._histogram(name))

    def _histogram(self, name: str) -> Histogram:
        if name not in self._histograms:
            self._histograms[name] = self._builders[name].finish()
        return self._histograms[name]


def calibrate(
    content: bytes, inputs: Sequence[str], tensors: Collection[str], context: Context, *, method: Method, limit: int
) -> TensorRanges:
    """Run the calibration samples through the model and look at these tensors.

    What was found is kept in `context.memo`, so that a search which comes back to the same model does not run it again.

    Args:
        content: the model, every tensor of which has a name of its own.
        inputs: what the samples call the model's inputs, in the model's order.
        tensors: names of float32 tensors that are not constants.
        method: what will be asked for; histograms are kept when it needs them.
        limit: at most this many samples; 0 takes all.

    Raises:
        PassSkipped: there is no dataset.
        DatasetError: the dataset is empty or does not fit, or a value is not finite on it.
    """
    dataset = context.calibration
    if dataset is None:
        raise PassSkipped("it needs calibration data")
    histograms = method not in _FROM_EXTREMES
    digest = hashlib.sha256(content).hexdigest()
    key = ("tflite ranges", digest, dataset.spec, limit)
    known: TensorRanges | None = context.memo.get(key)
    if known is not None:
        if known.tensors.issuperset(tensors) and known.histograms >= histograms:
            return known
        tensors, histograms = known.tensors | set(tensors), known.histograms or histograms
    session = TfliteSession(content, exact=False, keep_all_tensors=True)
    ranges = TensorRanges(tensors, histograms=histograms)
    total = min(dataset.count, limit) if dataset.count and limit else dataset.count or limit or None
    for sample in dataset.batches(1):
        if limit and ranges.samples >= limit:
            break
        session.run({own: sample.feed[name] for own, name in zip(session.input_names, inputs, strict=True)})
        for name, values in session.tensors(tensors):
            if not values.size:
                continue
            if not np.isfinite(values).all():
                raise DatasetError(
                    f"{dataset.spec}: sample {ranges.samples} makes the model compute a value that is not finite",
                    why="what is NaN or infinite has no range to quantize",
                    hint="remove the sample, or check how it was prepared",
                )
            ranges.add(name, values)
        ranges.samples += 1
        context.progress.advance(ranges.samples, total, "samples")
    if not ranges.samples:
        raise DatasetError(f"{dataset.spec} has no samples to calibrate on", hint="give a dataset with samples")
    context.memo[key] = ranges
    return ranges
