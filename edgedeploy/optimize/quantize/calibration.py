"""The range of values that intermediate tensors take on sample data.

Memory does not grow with the number of samples: the tensors' values leave the runtime for one sample at a time, their
extremes are noted, they are counted into a histogram per tensor where one is needed, and they go. Where a single
sample's values would take too much memory, the samples are run several times, each time for some of the tensors.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np
import onnx_ir as ir
from msgspec import Struct, field

from edgedeploy.datasets.dataset import Dataset
from edgedeploy.foundation.errors import DatasetError, UnsupportedError
from edgedeploy.inference.session import Feed
from edgedeploy.optimize.base import Context, PassSkipped
from edgedeploy.optimize.graph.activation_tap import ActivationTap, Readout, groups_within
from edgedeploy.optimize.graph.edit import serialized
from edgedeploy.optimize.quantize.histogram import Histogram, HistogramBuilder, Range
from edgedeploy.optimize.quantize.range_estimators import entropy_range, least_squares_range, percentile_range

Method = Literal["min-max", "mean-min-max", "percentile", "entropy", "mse"]
"""How a range is chosen:

- `min-max`: the smallest and the largest value of all.
- `mean-min-max`: the mean over samples of each sample's smallest and largest, which gives the rare extremes of few
  samples less weight (the moving average of Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.1, with
  equal weights).
- `percentile`, `entropy`, `mse`: `range_estimators.percentile_range`, `entropy_range`, `least_squares_range`.
"""
METHODS: tuple[Method, ...] = get_args(Method)
DEFAULT_PERCENTILE = 99.99

_FROM_EXTREMES: frozenset[Method] = frozenset(("min-max", "mean-min-max"))
MOST_BYTES = 512 * 2**20
"""Of values that leave the runtime at once, judged by the first sample."""
_ITEM_BYTES = 4
"""Of float32."""
KEPT_MODELS = 8
"""So many models' findings are kept: some 20 kB per tensor."""


class Calibrated(Struct, frozen=True):
    """What calibration saw."""

    ranges: dict[str, Range]
    samples: int


def calibrate(
    model: ir.Model,
    tensors: Sequence[str],
    context: Context,
    *,
    method: Method = "min-max",
    limit: int = 0,
    percentile: float = DEFAULT_PERCENTILE,
) -> Calibrated:
    """Run the calibration samples through the model and return the range of each named tensor.

    What was found is kept in `context.memo`: the same model, dataset and limit are not run a second time for tensors
    that were watched already, and of methods that need histograms any is had from those of any other.

    Args:
        model: the float model.
        tensors: names of float32 values of the main graph.
        context: where the dataset and the listener are.
        method: how each range is chosen.
        limit: at most this many samples; 0 takes all.
        percentile: setting of the method of that name.

    Raises:
        PassSkipped: there is no dataset, or a tensor is none of the main graph, not of float32, or cannot be watched.
        DatasetError: the dataset is empty or does not fit, or a value is not finite on it.
        UnsupportedError: the model fails while it runs.
    """
    return calibrate_all(model, tensors, context, methods=(method,), limit=limit, percentile=percentile)[method]


def calibrate_all(
    model: ir.Model,
    tensors: Sequence[str],
    context: Context,
    *,
    methods: Sequence[Method] = METHODS,
    limit: int = 0,
    percentile: float = DEFAULT_PERCENTILE,
) -> dict[Method, Calibrated]:
    """Choose ranges by each of several methods, from one pass over the samples: to choose a method per tensor.

    Arguments and errors are those of `calibrate`.
    """
    findings = _observe(model, tensors, context, limit, histograms=not _FROM_EXTREMES.issuperset(methods))
    return {
        method: Calibrated({name: findings.range(name, method, percentile) for name in tensors}, findings.samples)
        for method in methods
    }


def collect_histograms(
    model: ir.Model, tensors: Sequence[str], context: Context, *, limit: int = 0
) -> dict[str, Histogram]:
    """Collect the histogram of each named tensor, to choose ranges by other rules than these methods.

    Arguments and errors are those of `calibrate`.
    """
    findings = _observe(model, tensors, context, limit, histograms=True)
    return {name: findings.histograms[name] for name in tensors}


class _Extremes(Struct):
    """Of one tensor; zero is among the values of each sample."""

    low: float = 0.0
    high: float = 0.0
    mean_low: float = 0.0
    mean_high: float = 0.0

    def add(self, low: float, high: float, seen: int) -> None:
        """Take in a sample, `seen` samples having come before it."""
        low, high = min(low, 0.0), max(high, 0.0)
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.mean_low += (low - self.mean_low) / (seen + 1)
        self.mean_high += (high - self.mean_high) / (seen + 1)


class _ObservedTensors(Struct):
    """What is known of one model on one dataset; kept in `Context.memo`."""

    samples: int = 0
    extremes: dict[str, _Extremes] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    chosen: dict[tuple[str, Method, float], Range] = field(default_factory=dict)

    def range(self, name: str, method: Method, percentile: float) -> Range:
        key = (name, method, percentile)
        if key not in self.chosen:
            self.chosen[key] = self._choose(name, method, percentile)
        return self.chosen[key]

    def _choose(self, name: str, method: Method, percentile: float) -> Range:
        extremes = self.extremes[name]
        match method:
            case "min-max":
                return Range(extremes.low, extremes.high)
            case "mean-min-max":
                return Range(extremes.mean_low, extremes.mean_high)
            case "percentile":
                return percentile_range(self.histograms[name], percentile)
            case "entropy":
                return entropy_range(self.histograms[name])
            case "mse":
                return least_squares_range(self.histograms[name])


def _observe(
    model: ir.Model, tensors: Sequence[str], context: Context, limit: int, *, histograms: bool
) -> _ObservedTensors:
    """Find out what is not yet known of these tensors. Findings of a pass that does not reach its end are dropped."""
    if context.calibration is None:
        raise PassSkipped("it needs calibration data")
    values = ir.convenience.create_value_mapping(model.graph, include_subgraphs=False)
    if strangers := [name for name in tensors if name not in values]:
        raise PassSkipped(f"{strangers[0]!r} is not a value of the main graph, so its range cannot be watched")
    for name in tensors:
        # A type that the model does not tell is seen by onnxruntime.
        if (dtype := values[name].dtype) not in (None, ir.DataType.FLOAT):
            raise PassSkipped(f"{name!r} holds {dtype}, and only ranges of FLOAT are watched")
    digest = hashlib.sha256(serialized(model)).hexdigest()
    findings = _findings(context, (digest, context.calibration.spec, limit))
    known = findings.histograms if histograms else findings.extremes
    missing = [name for name in dict.fromkeys(tensors) if name not in known]
    if missing:
        watched = _watch(model, missing, context, context.calibration, limit, histograms=histograms)
        findings.samples = watched.samples
        findings.extremes |= watched.extremes
        findings.histograms |= watched.histograms
    return findings


def _findings(context: Context, key: tuple[str, str, int]) -> _ObservedTensors:
    """What is kept under `key`; the findings that were asked for least recently make room for new ones."""
    kept: dict[tuple[str, str, int], _ObservedTensors] = context.memo.setdefault("calibration", {})
    findings = kept.pop(key, None) or _ObservedTensors()
    while len(kept) >= KEPT_MODELS:
        del kept[next(iter(kept))]
    kept[key] = findings
    return findings


def _watch(
    model: ir.Model, tensors: Sequence[str], context: Context, dataset: Dataset, limit: int, *, histograms: bool
) -> _ObservedTensors:
    """Run the samples, as many times as there are groups of tensors."""
    samples = itertools.islice(dataset.batches(1), limit or None)
    first = next(samples, None)
    if first is None:
        raise DatasetError(f"{dataset.spec} has no samples to calibrate on", hint="give a dataset with samples")
    groups = _groups(model, tensors, first.feed)
    known = min(dataset.count, limit) if dataset.count and limit else dataset.count or limit or None
    found = _ObservedTensors()
    for number, group in enumerate(groups):
        tap = _tap(model, group)
        extremes = {name: _Extremes() for name in group}
        builders = {name: HistogramBuilder() for name in group} if histograms else {}
        stream = (
            itertools.chain([first], samples) if not number else itertools.islice(dataset.batches(1), limit or None)
        )
        seen = 0
        for sample in stream:
            where = f"{dataset.spec}: sample {seen}"
            # Nothing here holds on to the arrays: they are gone before the next sample runs.
            _take(where, zip(group, tap.run(sample.feed), strict=True), extremes, builders, seen)
            seen += 1
            done, total = number * (found.samples or seen) + seen, known and known * len(groups)
            context.progress.advance(done, total, "samples" if len(groups) == 1 else "runs")
        found.samples = found.samples or seen
        found.extremes |= extremes
        found.histograms |= {name: builder.finish() for name, builder in builders.items()}
    return found


def _take(
    where: str,
    values: Iterable[tuple[str, np.ndarray]],
    extremes: dict[str, _Extremes],
    builders: dict[str, HistogramBuilder],
    seen: int,
) -> None:
    """Take in one sample's values; `seen` samples came before it."""
    for name, array in values:
        if not array.size:
            extremes[name].add(0.0, 0.0, seen)
            continue
        # NaN goes through both, which it does not through onnxruntime's ReduceMin and ReduceMax.
        low, high = float(np.minimum.reduce(array, axis=None)), float(np.maximum.reduce(array, axis=None))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise DatasetError(
                f"{where} makes the model compute a value that is not finite",
                why=f"tensor {name!r} holds NaN or infinity, so it has no range to quantize",
                hint="remove the sample, or check how it was prepared",
            )
        extremes[name].add(low, high, seen)
        if builders:
            builders[name].add(array, low, high)


def _tap(model: ir.Model, tensors: Sequence[str], readout: Readout = "value", *, exact: bool = False) -> ActivationTap:
    try:
        return ActivationTap(model, tensors, readout=readout, exact=exact)
    except UnsupportedError as error:
        raise PassSkipped(f"onnxruntime does not let its values be watched: {error.why}") from error


def _groups(model: ir.Model, tensors: Sequence[str], feed: Feed) -> list[list[str]]:
    """Divide the tensors into groups whose values on this feed take no more than `MOST_BYTES`."""
    sizes = _tap(model, tensors, "size", exact=True).run(feed)
    return groups_within(tensors, [_ITEM_BYTES * int(size) for size in sizes], MOST_BYTES)
