"""The range of values that intermediate tensors take on sample data.

Memory does not grow with the number of samples, nor with the size of the tensors: the minimum and the maximum of each
tensor are computed inside the model, by ReduceMin and ReduceMax nodes that are added to a copy of it, so that only two
numbers per tensor and run ever leave the runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from edgedeploy.errors import DatasetError
from edgedeploy.host_run import HostSession
from edgedeploy.optimize.contract import Context, Refused
from edgedeploy.optimize.graph import copy_of, serialized

Method = Literal["min-max", "mean-min-max"]


class Range(Struct, frozen=True):
    """The interval that a tensor's values were seen in; zero lies in it."""

    low: float
    high: float


class Calibrated(Struct, frozen=True):
    """What calibration saw."""

    ranges: dict[str, Range]
    samples: int


def calibrate(
    model: ir.Model, tensors: Sequence[str], context: Context, *, method: Method = "min-max", limit: int = 0
) -> Calibrated:
    """Run the calibration samples through the model and return the range of each named tensor.

    Args:
        model: the float model.
        tensors: names of float32 values of the main graph.
        context: where the dataset and the listener are.
        method: `"min-max"` takes the smallest and largest value of all; `"mean-min-max"` the mean over samples of each
            sample's smallest and largest, which gives the rare extremes of few samples less weight (the moving average
            of Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.1, with equal weights).
        limit: at most this many samples; 0 takes all.

    Raises:
        Refused: there is no dataset.
        DatasetError: the dataset is empty or does not fit, or a value is not finite on it.
    """
    if context.calibration is None:
        raise Refused("it needs calibration data")
    dataset = context.calibration
    session = HostSession(_with_extremes(model, tensors), exact=False)
    low = np.zeros(len(tensors))
    high = np.zeros(len(tensors))
    seen = 0
    total = min(dataset.count, limit) if dataset.count and limit else dataset.count or limit or None
    for sample in dataset.batches(1):
        if limit and seen >= limit:
            break
        extremes = np.array([float(output) for output in session.run(sample.feed)], dtype=np.float64)
        if not np.isfinite(extremes).all():
            where = tensors[int(np.flatnonzero(~np.isfinite(extremes))[0]) // 2]
            raise DatasetError(
                f"{dataset.spec}: sample {seen} makes the model compute a value that is not finite",
                why=f"tensor {where!r} holds NaN or infinity, so it has no range to quantize",
                mend="remove the sample, or check how it was prepared",
            )
        lows, highs = np.minimum(extremes[0::2], 0.0), np.maximum(extremes[1::2], 0.0)
        if method == "min-max":
            low, high = np.minimum(low, lows), np.maximum(high, highs)
        else:
            low, high = low + (lows - low) / (seen + 1), high + (highs - high) / (seen + 1)
        seen += 1
        context.progress.advance(seen, total, "samples")
    if not seen:
        raise DatasetError(f"{dataset.spec} has no samples to calibrate on", mend="give a dataset with samples")
    ranges = {name: Range(float(a), float(b)) for name, a, b in zip(tensors, low, high, strict=True)}
    return Calibrated(ranges, seen)


def _with_extremes(model: ir.Model, tensors: Sequence[str]) -> bytes:
    """The model with, for each tensor, its minimum and its maximum as the only outputs."""
    watched = copy_of(model)
    graph = watched.graph
    values = ir.convenience.create_value_mapping(graph, include_subgraphs=False)
    graph.outputs.clear()
    for number, name in enumerate(tensors):
        for operator in ("ReduceMin", "ReduceMax"):
            node = ir.node(operator, [values[name]], {"keepdims": 0}, name=f"edgedeploy:{operator}:{number}")
            output = node.outputs[0]
            output.name = f"edgedeploy:{operator}:{number}"
            output.type, output.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([])
            graph.append(node)
            graph.outputs.append(output)
    return serialized(watched)
