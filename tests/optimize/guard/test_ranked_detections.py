"""Detections that a model itself puts in order are judged by what is kept of them: their rows may change places."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.model.inspect import inspect_model
from edgedeploy.optimize.guard.evaluation import Data, Evaluation
from edgedeploy.optimize.guard.guard import GuardRequest, judge
from edgedeploy.values.drop import drop_of
from edgedeploy.values.head import Head

_RANKED = """
<ir_version: 8, opset_import: ["" : 18]>
ranked (float[1, 3, 6] rows) => (float[1, 3, 6] detections)
<int64[3] order = {ORDER}>
{ detections = Gather <axis = 1> (rows, order) }
"""


def ranked(order):
    return onnx.parser.parse_model(_RANKED.replace("ORDER", order)).SerializeToString()


@pytest.fixture
def held(tmp_path):
    """Hold a model that gives its rows in another order against the one that gives them as they are."""
    source = ranked("0, 1, 2")
    model, data = tmp_path / "model.onnx", tmp_path / "rows.npz"
    model.write_bytes(source)
    rows = [[0, 0, 10, 10, 0.90, 0], [200, 40, 260, 90, 0.89, 1], [30, 300, 90, 380, 0.88, 2]]
    np.savez(data, rows=np.array([rows] * 4, np.float32) + np.float32([[[0, 0, 2, 2, 0, 0]]]))
    evaluation = Evaluation(
        data=Data(name="the data", dataset=open_dataset(str(data), inspect_model(model).inputs)),
        metric=None,
        drop=drop_of(0.01),
        decoder=find_head(Head(kind="yolo-nms"), ("detections",)),
    )

    def hold(order):
        request = GuardRequest(source=source, source_size_bytes=2 * len(source), evaluation=evaluation)
        return judge(ranked(order), request)

    return hold


def test_detections_in_another_order_are_the_same(held):
    assert not held("1, 2, 0").violations


def test_lost_detections_are_an_objection(held):
    assert any("detections are left" in violation.reason for violation in held("2, 2, 2").violations)
