"""Running calibration samples for what pruning wants to know."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from edgedeploy.datasets.dataset import Dataset
from edgedeploy.datasets.sampling import spread
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.inference.session import Feed
from edgedeploy.optimize.graph.activation_tap import ActivationTap, shapes_on
from edgedeploy.optimize.graph.edit import is_operator
from edgedeploy.optimize.prune.channels.walk import Layer
from edgedeploy.optimize.prune.layer_form import Form

_ROWS_PER_INPUT = 6
"""Rows for each unknown of a least-squares problem."""
_LEAST_ROWS = 2048
_MOST_ROWS = 16384
_JUDGED_SAMPLES = 12


class Samples:
    """Up to a number of calibration samples, spread over the dataset."""

    def __init__(self, dataset: Dataset, limit: int) -> None:
        self._dataset = dataset
        self._limit = limit
        self.count = min(limit, dataset.count) if dataset.count is not None else limit

    def feeds(self, wanted: int | None = None) -> Iterator[Feed]:
        """Iterate over the first `wanted` samples, or over all of them.

        Raises:
            DatasetError: there are none.
        """
        found = False
        for sample in spread(self._dataset, min(wanted or self._limit, self._limit)):
            found = True
            yield sample.feed
        if not found:
            raise DatasetError(f"{self._dataset.spec} has no samples", hint="give a dataset with samples")

    def needed(self, form: Form, layer: Layer, shape: tuple[int, ...], inputs: int) -> tuple[int, int]:
        """Return how many samples to run for a layer, and how many rows to take of each.

        Args:
            shape: of the layer's output on a sample (of a ConvTranspose, its input).
            inputs: unknowns per output.
        """
        axis = len(shape) - 1 if layer.operator in ("MatMul", "Gemm") else 1
        places = max(math.prod(shape) // max(shape[axis], 1), 1)
        rows = min(max(_ROWS_PER_INPUT * inputs, _LEAST_ROWS), _MOST_ROWS)
        samples = min(max(-(-rows // places), min(24, self.count)), self.count)
        return samples, -(-rows // samples)


def scores_of(model: ir.Model) -> list[str]:
    """Name the values that the outputs are judged by: behind a Softmax or Sigmoid large differences vanish."""
    names: list[str] = []
    for output in model.graph.outputs:
        value: ir.Value = output
        node = value.producer()
        while node is not None and is_operator(node, "Softmax", "LogSoftmax", "Sigmoid", "Identity", "Flatten"):
            source = node.inputs[0]
            if source is None or source.is_graph_input() or source.is_initializer():
                break
            value, node = source, source.producer()
        if (output.dtype is None or output.dtype.is_floating_point()) and value.name and node is not None:
            names.append(value.name)
    # An answer that is a number of a class is compared as a number: any difference counts.
    return list(dict.fromkeys(names)) or [output.name or "" for output in model.graph.outputs]


class OutputJudge:
    """How far a changed model's outputs are from the model's own, on a few samples."""

    def __init__(self, model: ir.Model, samples: Samples) -> None:
        self._names = scores_of(model)
        self._feeds = list(samples.feeds(_JUDGED_SAMPLES))
        tap = ActivationTap(model, self._names)
        self._expected = [tap.run(feed) for feed in self._feeds]
        self._power = []
        for number in range(len(self._names)):
            every = np.concatenate([outputs[number].ravel() for outputs in self._expected]).astype(np.float64)
            self._power.append(max(float(((every - every.mean()) ** 2).sum()), 1e-12))

    def error(self, model: ir.Model) -> float:
        """Return the squared error as a share of the outputs' variance, mean over outputs; inf for other shapes."""
        tap = ActivationTap(model, self._names)
        errors = [0.0] * len(self._names)
        for feed, expected in zip(self._feeds, self._expected, strict=True):
            for number, (output, expected_output) in enumerate(zip(tap.run(feed), expected, strict=True)):
                if output.shape != expected_output.shape:
                    return math.inf
                errors[number] += float(((output.astype(np.float64) - expected_output) ** 2).sum())
        return sum(error / power for error, power in zip(errors, self._power, strict=True)) / max(len(errors), 1)


def graph_shapes(model: ir.Model, feed: Feed) -> dict[str, tuple[int, ...]]:
    """Return the extents of every tensor of the main graph, and of its inputs, on one feed, by name.

    Raises:
        DatasetError: the model does not take the feed.
        UnsupportedError: onnxruntime does not run the model.
    """
    results = [value for node in model.graph for value in node.outputs if value.name]
    names = [value.name or "" for value in results if isinstance(value.type, ir.TensorType | None)]
    shapes = dict(zip(names, shapes_on(model, names, feed), strict=True))
    return shapes | {name: array.shape for name, array in feed.items()}
