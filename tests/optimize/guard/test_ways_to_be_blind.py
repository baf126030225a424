"""The ways to ruin a detector that a metric may not see: each is refused, under a metric of its field, under metrics of
one's own that are blind, and without labels.

The detector is small and sees three colors: each cell of 8 x 8 pixels is an anchor. `scripts/bench blind` does the same
with one that was trained.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from benchmarks.blind_ruins import RUINS, Detector, always_right, cosine_of_all, held

from edgedeploy.inference.onnxruntime import HostSession
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.metrics.metric import MeanMetric
from edgedeploy.metrics.registry import find_metric
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Detections

pytestmark = pytest.mark.slow

SIDE, CELL = 96, 8
ANCHORS = (SIDE // CELL) ** 2
COLORS = """
    <ir_version: 8, opset_import: ["" : 17]>
    colors (float[N, 3, 96, 96] x) => (float[N, 7, 144] y)
    <int64[3] flat = {0, 3, -1}, int64[3] one = {0, 1, -1}, float sharp = {24}, float half = {12}, float grow = {16}> {
        cells = AveragePool <kernel_shape = [8, 8], strides = [8, 8]> (x)
        sharper = Mul(cells, sharp)
        logits = Sub(sharper, half)
        shares = Sigmoid(logits)
        scores = Reshape(shares, flat)
        brightest = ReduceMax <axes = [1], keepdims = 1> (cells)
        bright = Reshape(brightest, one)
        more = Mul(bright, grow)
        extents = Concat <axis = 1> (more, more)
        nothing = Sub(extents, extents)
        centers = Add(nothing, grid)
        boxes = Concat <axis = 1> (centers, extents)
        y = Concat <axis = 1> (boxes, scores)
    }"""
HEAD = Head(kind="yolov8", classes=3)


@pytest.fixture(scope="module")
def detector():
    rng = np.random.default_rng(5)
    rows, columns = np.divmod(np.arange(ANCHORS), SIDE // CELL)
    centers = np.stack((columns, rows))[np.newaxis].astype(np.float32) * CELL + CELL / 2
    proto = onnx.parser.parse_model(COLORS)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(centers, "grid"))
    model = proto.SerializeToString()
    pictures = rng.uniform(0, 0.15, (6, 1, 3, SIDE, SIDE)).astype(np.float32)
    for picture in pictures:
        for place in rng.choice(ANCHORS, 5, replace=False):
            row, column = rows[place] * CELL, columns[place] * CELL
            picture[0, rng.integers(3), row : row + CELL, column : column + CELL] = rng.uniform(0.8, 1.0)
    feeds = tuple({"x": picture} for picture in pictures)
    session = HostSession(model, exact=True)
    return Detector(model=model, feeds=feeds, answers=tuple(session.run(feed)[0] for feed in feeds))


@pytest.fixture(scope="module")
def boxes(detector):
    """Labels: what the detector is to find, which it does find."""
    decoder = find_head(Head(kind="yolov8", classes=3, score_min=0.5), ["y"])
    found = [decoder.answers([answer], feed, 1) for answer, feed in zip(detector.answers, detector.feeds, strict=True)]
    return [(Detections(boxes=each.boxes, classes=each.classes),) for (each,) in found]


@pytest.fixture(scope="module")
def ways(detector, boxes):
    """How a result may be judged: labels, metric and head."""
    decoder = find_head(HEAD, ["y"])
    numbers = list(detector.answers)
    return {
        "map50": (boxes, find_metric("map50", HEAD, ["y"]), decoder),
        "cosine": (numbers, MeanMetric("cosine_of_all", cosine_of_all), None),
        "always right": (numbers, MeanMetric("always_right", always_right), None),
        "a head, no labels": (None, None, decoder),
        "nothing": (None, None, None),
    }


WAYS = ["map50", "cosine", "always right", "a head, no labels", "nothing"]


@pytest.mark.parametrize("way", [pytest.param("map50", marks=pytest.mark.slow), *WAYS[1:]])  # its interval takes 2 s
@pytest.mark.parametrize("ruin", RUINS)
def test_a_ruined_detector_is_refused(detector, ways, way, ruin):
    pytest.importorskip("pycocotools")
    result = held(detector, RUINS[ruin](detector), *ways[way])
    assert result.loads and not result.accepted, result.notes


@pytest.mark.parametrize("way", WAYS)
def test_the_detector_itself_is_accepted(detector, ways, way):
    pytest.importorskip("pycocotools")
    result = held(detector, detector.model, *ways[way])
    assert result.accepted, result.refusals
    assert any("is blind to" in note for note in result.notes) == (way in ("cosine", "always right"))


def test_labels_that_are_off_by_one_are_named(detector, boxes, ways):
    pytest.importorskip("pycocotools")
    moved = [(Detections(boxes=each.boxes, classes=each.classes + 1),) for (each,) in boxes]
    _, metric, decoder = ways["map50"]
    result = held(detector, detector.model, moved, metric, decoder)
    assert any("changed by -1" in note for note in result.notes)
