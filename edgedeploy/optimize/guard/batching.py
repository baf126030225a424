"""How many samples of a dataset may be run at once without changing a figure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import onnx

from edgedeploy.datasets.dataset import Dataset, Sample
from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.inference.formats import format_of
from edgedeploy.inference.session import Session
from edgedeploy.metrics.model_comparison import relative_difference
from edgedeploy.optimize.guard.evaluation import Data

_SCALES_OF_THE_BATCH = {
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM",
    "MatMulIntegerToFloat",
}
"""Operators that take a scale from the whole batch: samples would answer for each other."""
_BATCH_BYTES = 4 << 20
_BATCH_SAMPLES = 16
_SAME = 1e-4
"""Relative difference of outputs that may come from another order of additions alone."""


def batches(data: Data, reference: Session, result: bytes) -> Iterable[Sample]:
    """Return the samples, in batches where both models answer a batch as they answer its samples one at a time.

    Args:
        data: generated samples are never joined.
        reference: the source model.
        result: serialized model that will run on the same batches.
    """
    if data.dataset is None:
        return data.generated
    return data.dataset.batches(_batch_size(data.dataset, reference, result))


def _batch_size(dataset: Dataset, reference: Session, result: bytes) -> int:
    if _mixes_samples(result):
        return 1
    pair = list(itertools.islice(dataset.samples(), 2))
    if len(pair) < 2 or any(sample.size != 1 for sample in pair):
        return 1
    together = next(iter(dataset.batches(2)))
    if together.size != 2 or not _answers_each_alone(reference, together, pair):
        return 1
    sample_bytes = sum(array.nbytes for array in pair[0].feed.values())
    return max(1, min(_BATCH_SAMPLES, _BATCH_BYTES // max(sample_bytes, 1)))


def _mixes_samples(model: bytes) -> bool:
    if format_of(model[:8]) != "onnx":
        return False
    graph = onnx.load_from_string(model).graph
    return any(node.op_type in _SCALES_OF_THE_BATCH for node in graph.node)


def _answers_each_alone(reference: Session, together: Sample, pair: Sequence[Sample]) -> bool:
    """Return whether a batch of two is answered as its samples are.

    A first dimension that is dynamic need not be a batch, and a graph may have its batch of one written into it.
    """
    try:
        stacked = reference.run(together.feed)
        single = [reference.run(sample.feed) for sample in pair]
    except EdgedeployError:
        return False
    for output, first, second in zip(stacked, *single, strict=True):
        if output.ndim == 0 or output.shape[0] != 2 or first.shape[:1] != (1,) or second.shape[:1] != (1,):
            return False
        if relative_difference([output[:1], output[1:]], [first, second]) > _SAME:
            return False
    return True
