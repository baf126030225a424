"""Ways to ruin a detector that a metric may not see, as edits of its graph.

They are made for one output (batch, 4 + classes, anchors) in pixels, as ultralytics' detectors have it, and one input
(batch, 3, height, width).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from msgspec import Struct
from onnx import helper, numpy_helper

from edgedeploy.datasets.dataset import Dataset, Sample
from edgedeploy.inference.session import Feed
from edgedeploy.metrics.heads.decoder import Decoder
from edgedeploy.metrics.metric import Metric
from edgedeploy.optimize.guard.evaluation import Data, Evaluation
from edgedeploy.optimize.guard.guard import judge
from edgedeploy.optimize.guard.request import GuardRequest
from edgedeploy.optimize.guard.result import GuardResult
from edgedeploy.values.drop import drop_of
from edgedeploy.values.labels import Labels

BOXES = 4
_ZERO = np.zeros((), np.float32)


class Detector(Struct, frozen=True, kw_only=True, eq=False):
    """A model, and what it answers to the pictures that it is judged on."""

    model: bytes
    feeds: tuple[Feed, ...]
    answers: tuple[np.ndarray, ...]
    """Of the model, one for each feed: (1, 4 + classes, anchors)."""

    @property
    def channels(self) -> int:
        return int(self.answers[0].shape[1])

    @property
    def anchors(self) -> int:
        return int(self.answers[0].shape[2])


class _Editor:
    """Puts nodes behind a model's only output, or before what reads its only input."""

    def __init__(self, model: bytes) -> None:
        self.model = onnx.load_from_string(model)
        self._graph = self.model.graph
        self._made = 0

    def behind(self, operator: str, *constants: np.ndarray, axis: int | None = None) -> _Editor:
        """Let the output go through one more node."""
        name = self._graph.output[0].name
        inner = f"{name}:before-{self._made}"
        for node in self._graph.node:
            node.output[:] = [inner if value == name else value for value in node.output]
            node.input[:] = [inner if value == name else value for value in node.input]
        known = [self._known(array) for array in constants]
        self._graph.node.append(helper.make_node(operator, [inner, *known], [name], **_attributes(axis)))
        return self

    def before(self, operator: str, *constants: np.ndarray, axis: int | None = None) -> _Editor:
        """Let the input go through one more node."""
        name = self._graph.input[0].name
        changed = f"{name}:changed-{self._made}"
        for node in self._graph.node:
            node.input[:] = [changed if value == name else value for value in node.input]
        known = [self._known(array) for array in constants]
        self._graph.node.insert(0, helper.make_node(operator, [name, *known], [changed], **_attributes(axis)))
        return self

    def done(self) -> bytes:
        return bytes(self.model.SerializeToString())

    def _known(self, array: np.ndarray) -> str:
        self._made += 1
        name = f"ruin:{self._made}"
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name


def _attributes(axis: int | None) -> dict[str, Any]:
    return {} if axis is None else {"axis": axis}


def _column(detector: Detector, boxes: Sequence[float], scores: float | np.ndarray) -> np.ndarray:
    """Return a number for each channel: float32, shape (1, channels, 1)."""
    rest = np.broadcast_to(np.asarray(scores, np.float32), (detector.channels - BOXES,))
    return np.concatenate((np.asarray(boxes, np.float32), rest)).reshape(1, -1, 1)


def _moved(pixels: float) -> Callable[[Detector], bytes]:
    return lambda detector: _Editor(detector.model).behind("Add", _column(detector, (pixels, pixels, 0, 0), 0.0)).done()


def _zeroed_scores(detector: Detector) -> bytes:
    return _Editor(detector.model).behind("Mul", _column(detector, (1, 1, 1, 1), 0.0)).done()


def _permuted_classes(detector: Detector) -> bytes:
    places = np.arange(detector.channels)
    places[BOXES:] = np.roll(places[BOXES:], 1)
    return _Editor(detector.model).behind("Gather", places, axis=1).done()


def _scores_of_other_anchors(detector: Detector) -> bytes:
    places = np.tile(np.arange(detector.anchors), (1, detector.channels, 1))
    places[:, BOXES:] = np.random.default_rng(1).permutation(detector.anchors)
    editor = _Editor(detector.model)
    # Of one picture at a time: GatherElements broadcasts nothing.
    return editor.behind("GatherElements", places, axis=2).done()


def _dead(detector: Detector) -> bytes:
    return _Editor(detector.model).behind("Mul", _ZERO).done()


def _mean(detector: Detector) -> np.ndarray:
    """Return the mean answer: float32, shape (1, channels, anchors)."""
    found: np.ndarray = np.stack(detector.answers).mean(axis=0, dtype=np.float64).astype(np.float32)
    return found


def _constant(detector: Detector) -> bytes:
    return _Editor(detector.model).behind("Mul", _ZERO).behind("Add", _mean(detector)).done()


def _constant_boxes(detector: Detector) -> bytes:
    mean = _mean(detector)
    mean[:, BOXES:] = 0
    kept = _column(detector, (0, 0, 0, 0), 1.0)
    return _Editor(detector.model).behind("Mul", kept).behind("Add", mean).done()


def _nan_in_one_class(detector: Detector) -> bytes:
    scores = np.zeros(detector.channels - BOXES, np.float32)
    scores[-1] = np.nan
    return _Editor(detector.model).behind("Add", _column(detector, (0, 0, 0, 0), scores)).done()


def _blue_for_red(detector: Detector) -> bytes:
    return _Editor(detector.model).before("Gather", np.array([2, 1, 0]), axis=1).done()


RUINS: dict[str, Callable[[Detector], bytes]] = {
    "all scores zero": _zeroed_scores,
    "classes permuted": _permuted_classes,
    "scores of other anchors": _scores_of_other_anchors,
    "boxes moved by 32 pixels": _moved(32),
    "boxes moved by 8 pixels": _moved(8),
    "boxes the same for every picture": _constant_boxes,
    "a dead output": _dead,
    "a constant output": _constant,
    "NaN in one class": _nan_in_one_class,
    "BGR for RGB": _blue_for_red,
}


class AnsweredPictures(Dataset):
    """A detector's pictures with labels of any form, in memory."""

    def __init__(self, detector: Detector, labels: Sequence[Labels] | None) -> None:
        self.spec = "pictures"
        self.has_labels = labels is not None
        self.count = len(detector.feeds)
        self._feeds, self._labels = detector.feeds, labels

    @property
    def sha256(self) -> str:
        return ""

    def samples(self) -> Iterator[Sample]:
        for place, feed in enumerate(self._feeds):
            yield Sample(feed, None if self._labels is None else self._labels[place], 1)


def held(
    detector: Detector,
    result: bytes,
    labels: Sequence[Labels] | None,
    metric: Metric | None,
    decoder: Decoder | None,
) -> GuardResult:
    """Hold a result against the detector under one metric, and the head where one is declared."""
    data = Data(name="the evaluation data", dataset=AnsweredPictures(detector, labels))
    evaluation = Evaluation(data=data, metric=metric, drop=drop_of(0.01), decoder=decoder)
    return judge(
        result, GuardRequest(source=detector.model, source_size_bytes=2 * len(detector.model), evaluation=evaluation)
    )


def cosine_of_all(outputs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """A metric of one's own that is blind: the cosine of all numbers with the label, the float model's own answer."""
    found, wanted = (each.reshape(len(each), -1).astype(np.float64) for each in (outputs[0], labels))
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    scores: np.ndarray = np.divide((found * wanted).sum(axis=1), lengths, out=np.zeros(len(found)), where=lengths > 0)
    numbers: np.ndarray = np.nan_to_num(scores)
    return numbers


def always_right(outputs: list[np.ndarray], labels: Labels) -> np.ndarray:
    """A metric of one's own that looks at nothing."""
    return np.ones(len(labels))
