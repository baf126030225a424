"""Samples out of the corpus' `.npz` files, for tools that run in environments of their own, without edgedeploy.

The same rule as `edgedeploy.datasets.dataset`: an array of its input's rank is cut along the first axis, one of a rank
more holds whole inputs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Feed = dict[str, np.ndarray]


def session(model: Path | bytes) -> Any:
    """An onnxruntime session on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    source = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def samples(model: Path, data: Path) -> Iterator[tuple[Feed, np.ndarray | None]]:
    """Each feed of `data` with its labels (samples of the feed first), if it has any."""
    ranks = {value.name: len(value.shape) for value in session(model).get_inputs()}
    with np.load(data) as file:
        arrays = {name: file[name] for name in file.files}
    labels = arrays.pop("labels", None)
    whole = {name: arrays[name].ndim > rank for name, rank in ranks.items()}
    for index in range(len(next(iter(arrays.values())))):
        feed = {name: arrays[name][index] if whole[name] else arrays[name][index : index + 1] for name in ranks}
        label = None if labels is None else labels[index : index + 1]
        if label is not None and any(whole.values()) and label.ndim > 1:
            label = label[0]
        # A scalar taken from an array is no array any more.
        yield {name: np.asarray(array) for name, array in feed.items()}, label


def scorer(metric: str) -> Callable[[list[np.ndarray], np.ndarray], np.ndarray]:
    """The metric `top1`, or `scripts.module:function` of this checkout."""
    if metric == "top1":
        return lambda outputs, labels: np.asarray(outputs[0].reshape(len(labels), -1).argmax(axis=1) == labels)
    module, _, function = metric.partition(":")
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    found: Callable[[list[np.ndarray], np.ndarray], np.ndarray] = getattr(importlib.import_module(module), function)
    return found


def score(model: Path | bytes, source: Path, data: Path, metric: str) -> float:
    """Mean of `metric` over `data`, which fits the model `source` that `model` was made from."""
    running, judge = session(model), scorer(metric)
    scores = [judge(running.run(None, feed), labels) for feed, labels in samples(source, data) if labels is not None]
    return float(np.concatenate(scores).mean())
