from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
from tasks.digits import with_nms

from edgedeploy.inference.onnxruntime import HostSession

_RAW = """
<ir_version: 8, opset_import: ["" : 18]>
raw (float[1, 14, 6] images) => (float[1, 14, 6] output0)
{ output0 = Identity (images) }
"""


@pytest.fixture(scope="module")
def detections():
    raw = np.zeros((1, 14, 6), np.float32)
    # Center and size of two boxes of class 3 that lie over each other, and of one of class 7 elsewhere.
    for cell, (box, which, score) in enumerate(
        (((20, 20, 10, 10), 3, 0.8), ((21, 20, 10, 10), 3, 0.9), ((60, 70, 20, 10), 7, 0.5))
    ):
        raw[0, :4, cell], raw[0, 4 + which, cell] = box, score
    model = with_nms(onnx.parser.parse_model(_RAW))
    (found,) = HostSession(model.SerializeToString(), exact=True).run({"images": raw})
    return found


def test_of_boxes_over_each_other_the_better_one_stays(detections):
    assert detections.shape == (1, 100, 6)
    assert detections[0, 0] == pytest.approx([16, 15, 26, 25, 0.9, 3])


def test_detections_stand_in_the_order_of_their_scores(detections):
    assert detections[0, 1] == pytest.approx([50, 65, 70, 75, 0.5, 7])


def test_rows_of_zeros_fill_up(detections):
    assert not detections[0, 2:].any()
