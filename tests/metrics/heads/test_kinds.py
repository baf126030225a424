"""Each kind of head reads boxes, masks, points and text that were written in its form."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.foundation.errors import DatasetError, UnknownNameError, UnsupportedError
from edgedeploy.metrics.heads.registry import find_head, head_names, load_head
from edgedeploy.values.head import Head

FEED = {"x": np.zeros((1, 3, 64, 96), np.float32)}
BOX = np.array([16.0, 8.0, 48.0, 40.0])
CENTER = np.array([32.0, 24.0, 32.0, 32.0])
SHARE = np.array([96.0, 64.0, 96.0, 64.0])


def read(kind, *outputs, feed=FEED, names=(), **keys):
    head = find_head(Head(kind=kind, **keys), names)
    (answer,) = head.answers(list(outputs), feed, 1)
    return answer


def assert_is_the_box(found, score, label=1):
    assert found.boxes == pytest.approx(BOX[np.newaxis], abs=1e-6)
    assert found.classes.tolist() == [label]
    assert found.scores == pytest.approx([score])


def logit(share):
    return np.log(share / (1 - share))


def yolo_rows(*columns):
    """Three anchors more than channels: of the same box a better and a worse one, and some that are nothing."""
    rows = np.zeros((40, len(columns)))
    rows[7], rows[8] = columns, columns
    rows[8, 4:] *= 0.5
    rows[8, :2] += 1
    return rows


def test_yolov8_in_both_layouts_and_in_shares_of_the_picture():
    rows = yolo_rows(*CENTER, 0.0, 0.9, 0.0)
    assert_is_the_box(read("yolov8", rows.T[np.newaxis]), 0.9)
    assert_is_the_box(read("yolov8", rows[np.newaxis]), 0.9)
    assert_is_the_box(read("yolov8", rows[np.newaxis], classes=3), 0.9)
    rows[:, :4] /= SHARE
    assert_is_the_box(read("yolov8", rows.T[np.newaxis], options={"normalized": True}), 0.9)


def test_yolov8_keeps_more_when_overlap_may_be_larger_and_less_over_a_higher_score():
    rows = yolo_rows(*CENTER, 0.0, 0.9, 0.0)[np.newaxis]
    assert len(read("yolov8", rows, iou_max=0.95).boxes) == 2
    assert len(read("yolov8", rows, iou_max=0.95, most=1).boxes) == 1
    assert len(read("yolov8", rows, score_min=0.95).boxes) == 0
    rows[0, 8, 4:6] = 0.45, 0.0
    assert len(read("yolov8", rows).boxes) == 2, "another class"


def test_yolov8_masks_are_cut_at_the_box():
    protos = np.zeros((1, 32, 16, 24))
    protos[0, 0] = 1.0
    coefficients = np.zeros(32)
    coefficients[0] = 2.0
    rows = yolo_rows(*CENTER, 0.0, 0.9, *coefficients)
    found = read("yolov8", rows[np.newaxis], protos, classes=2)
    assert_is_the_box(found, 0.9)
    assert found.masks.shape == (1, 64, 96)
    assert found.masks[0].sum() == 32 * 32 and found.masks[0, 8:40, 16:48].all()


def test_yolov8_poses():
    points = np.arange(12.0)
    found = read("yolov8", yolo_rows(*CENTER, 0.9, *points).T[np.newaxis], keypoints=4)
    assert_is_the_box(found, 0.9, label=0)
    assert found.keypoints.reshape(-1).tolist() == points.tolist()


def test_yolov5_multiplies_with_objectness():
    assert_is_the_box(read("yolov5", yolo_rows(*CENTER, 0.5, 0.0, 0.9, 0.0)[np.newaxis]), 0.45)


def test_yolo_with_its_nms_inside():
    rows = np.zeros((1, 5, 6))
    rows[0, 0] = [*BOX, 0.9, 1]
    assert_is_the_box(read("yolo-nms", rows), 0.9)


def test_yolox_boxes_are_relative_to_their_cell():
    cells = 8 * 12 + 4 * 6 + 2 * 3
    rows = np.zeros((1, cells, 7))
    # The cell of stride 8 in row 2, column 3.
    place = 2 * 12 + 3
    rows[0, place] = [32 / 8 - 3, 24 / 8 - 2, np.log(32 / 8), np.log(32 / 8), 0.5, 0.0, 0.9]
    assert_is_the_box(read("yolox", rows), 0.45)
    with pytest.raises(DatasetError, match="does not fit"):
        read("yolox", rows[:, 1:])


def test_ssd_moves_its_anchors():
    cells = 4 * 6
    scores, offsets = np.full((1, cells * 2, 3), 0.0), np.zeros((1, cells * 2, 4))
    scores[..., 0] = 9.0
    # The cell in row 1, column 2 has its middle at 40, 24; its second anchor is 16 wide and 64 high.
    place = (1 * 6 + 2) * 2 + 1
    offsets[0, place] = [(32 - 40) / 16 / 0.1, 0.0, np.log(32 / 16) / 0.2, np.log(32 / 64) / 0.2]
    scores[0, place] = [0.0, 0.0, 5.0]
    keys = {"strides": (16,), "anchors": ((16.0, 16.0, 16.0, 64.0),)}
    expected = np.exp(5) / (np.exp(5) + 2)
    found = read("ssd", scores, offsets, score_min=0.5, **keys)
    assert_is_the_box(found, expected)
    swapped = offsets[..., [1, 0, 3, 2]]
    assert_is_the_box(read("ssd", scores, swapped, score_min=0.5, options={"order": "yx"}, **keys), expected)
    with pytest.raises(UnsupportedError, match="needs its anchors"):
        read("ssd", scores, offsets)


def test_the_four_outputs_of_tensorflow_lite():
    boxes = np.zeros((1, 10, 4))
    boxes[0, 0] = (BOX / SHARE)[[1, 0, 3, 2]]
    boxes[0, 1] = np.nan
    classes, scores = np.ones((1, 10)), np.full((1, 10), 0.9)
    assert_is_the_box(read("tflite-ssd", boxes, classes, scores, np.array([2.0])), 0.9)
    outputs = [scores, boxes, np.array([1.0]), classes]
    named = find_head(Head(kind="tflite-ssd", outputs=("b", "c", "s", "n")), ["s", "b", "n", "c"])
    assert_is_the_box(named.answers(outputs, FEED, 1)[0], 0.9)
    assert named.groups([each.shape for each in outputs])["classes"] == (3, (slice(None),))


def test_detr_with_softmax_and_with_sigmoid():
    boxes = np.full((1, 3, 4), 0.5)
    boxes[0, 1] = CENTER / SHARE
    logits = np.zeros((1, 3, 3))
    logits[0, :, 2] = 20.0
    logits[0, 1] = [0.0, 5.0, 0.0]
    assert_is_the_box(read("detr", logits, boxes, score_min=0.5), np.exp(5) / (np.exp(5) + 2))
    single = np.full((1, 3, 2), -20.0)
    single[0, 1, 1] = logit(0.9)
    assert_is_the_box(read("detr", single, boxes, score_min=0.5, options={"scores": "sigmoid"}), 0.9)


def test_an_overlap_of_none_is_suppression_and_not_its_absence():
    # Two queries of one class, a third of each box over the other's.
    logits = np.array([[[5.0, 0.0], [4.0, 0.0]]])
    boxes = np.array([[[0.4, 0.5, 0.4, 0.4], [0.6, 0.5, 0.4, 0.4]]])
    assert len(read("detr", logits, boxes, score_min=0.1).boxes) == 2
    assert len(read("detr", logits, boxes, score_min=0.1, iou_max=0.0).boxes) == 1
    heat = np.full((1, 1, 8, 8), -9.0)
    heat[0, 0, 3, 1] = heat[0, 0, 3, 4] = 5.0
    sizes, offsets = np.full((1, 2, 8, 8), 5.0), np.zeros((1, 2, 8, 8))
    assert len(read("centernet", heat, sizes, offsets, score_min=0.1).boxes) == 2
    assert len(read("centernet", heat, sizes, offsets, score_min=0.1, iou_max=0.0).boxes) == 1


def test_centernet_takes_peaks():
    heat, sizes, offsets = np.full((1, 2, 16, 24), -20.0), np.zeros((1, 2, 16, 24)), np.zeros((1, 2, 16, 24))
    heat[0, 1, 5, 7], heat[0, 1, 5, 8] = logit(0.9), logit(0.8)
    sizes[0, :, 5, 7] = 32 / 4
    offsets[0, :, 5, 7] = 32 / 4 - 7, 24 / 4 - 5
    assert_is_the_box(read("centernet", heat, sizes, offsets, score_min=0.1), 0.9)


def test_fcos_measures_from_the_middles_of_cells():
    cells = 8 * 12
    logits, distances, centers = np.full((1, cells, 2), -20.0), np.zeros((1, cells, 4)), np.zeros((1, cells, 1))
    # The cell in row 2, column 3 has its middle at 28, 20.
    place = 2 * 12 + 3
    logits[0, place, 1] = logit(0.9)
    centers[0, place] = logit(0.4)
    distances[0, place] = np.array([28 - 16, 20 - 8, 48 - 28, 40 - 20]) / 8
    assert_is_the_box(read("fcos", logits, distances, centers, strides=(8,)), 0.6)


def test_segmentation_reads_scores_and_classes():
    scores = np.zeros((1, 3, 8, 10))
    scores[0, 2] = 1.0
    assert (read("segmentation", scores).argmax(axis=0) == 2).all()
    assert (read("segmentation", scores.transpose(0, 2, 3, 1)).argmax(axis=0) == 2).all()
    assert (read("segmentation", np.full((1, 8, 10), 2)) == 2).all()
    assert (read("segmentation", np.full((1, 1, 8, 10), 0.3)).argmax(axis=0) == 1).all()
    low = np.full((1, 1, 8, 10), 0.3)
    assert (read("segmentation", low, options={"scores": "probability"}).argmax(axis=0) == 0).all()


def test_heat_maps_and_points():
    maps = np.zeros((1, 2, 16, 24))
    maps[0, 0, 4, 6], maps[0, 0, 4, 7] = 0.9, 0.5
    maps[0, 1, 9, 0] = 0.7
    found = read("heatmaps", maps)
    assert found.keypoints[0].tolist() == [[(6 + 0.75) * 4, 4.5 * 4, 0.9], [0.5 * 4, 9.5 * 4, 0.7]]
    assert found.scores == pytest.approx([0.8])
    shares = np.array([[[[0.5, 0.25, 0.9], [0.0, 1.0, 0.7]]]])
    found = read("keypoints", shares, options={"normalized": True, "order": "yx"})
    assert found.keypoints[0].tolist() == [[24.0, 32.0, 0.9], [96.0, 0.0, 0.7]]
    assert len(read("keypoints", shares * np.nan).boxes) == 0


def test_ctc_drops_repeated_symbols_and_blanks():
    steps = [2, 2, 0, 2, 1, 1, 0, 0]
    scores = np.eye(3)[steps][np.newaxis]
    assert read("ctc", scores, options={"alphabet": "_ab"}) == "bba"
    assert read("ctc", scores, options={"alphabet": "ab"}) == "bba"
    assert read("ctc", scores.transpose(1, 0, 2), options={"alphabet": "ab", "time_first": True}) == "bba"
    assert read("ctc", scores[..., [1, 2, 0]], options={"alphabet": "ab", "blank": -1}) == "bba"
    with pytest.raises(UnsupportedError, match="needs its alphabet"):
        read("ctc", scores)
    with pytest.raises(DatasetError, match="does not fit"):
        read("ctc", scores, options={"alphabet": "abcdef"})


@pytest.mark.parametrize("kind", [kind for kind in head_names() if kind not in ("ssd", "ctc")])
def test_outputs_of_another_form_are_an_error_that_says_what_was_expected(kind):
    with pytest.raises(DatasetError) as caught:
        read(kind, np.zeros((1, 2)))
    assert "expects" in caught.value.why and caught.value.hint


def test_numbers_that_are_none_are_no_detections():
    rows = yolo_rows(*CENTER, 0.0, 0.9, 0.0)
    rows[7, 5], rows[8, 0] = np.nan, np.inf
    assert len(read("yolov8", rows[np.newaxis]).boxes) == 0


def test_groups_say_which_channels_mean_what():
    every = slice(None)
    pose = find_head(Head(kind="yolov8", keypoints=17)).groups([(1, 56, 8400)])
    assert pose == {
        "boxes": (0, (every, slice(0, 4))),
        "classes": (0, (every, slice(4, 5))),
        "keypoints": (0, (every, slice(5, 56))),
    }
    v5 = find_head(Head(kind="yolov5")).groups([(1, 25200, 85)])
    assert v5["objectness"] == (0, (every, every, slice(4, 5))) and v5["classes"][1][2] == slice(5, 85)
    masks = find_head(Head(kind="yolov8")).groups([(1, 116, 8400), (1, 32, 160, 160)])
    assert masks["masks"] == (0, (every, slice(84, 116))) and masks["prototypes"][0] == 1


def test_heads_are_named_and_described(tmp_path):
    assert load_head("detr") == Head(kind="detr")
    path = tmp_path / "head.toml"
    path.write_text('kind = "ssd"\nstrides = [16]\nanchors = [[8.0, 8.0]]\n')
    assert load_head(str(path)).anchors == ((8.0, 8.0),)
    with pytest.raises(UnknownNameError, match="there is no head 'yolov88'") as caught:
        find_head(Head(kind="yolov88"))
    assert "yolov8" in caught.value.hint
    with pytest.raises(UnsupportedError, match="reads an output 'scores', which the model does not have"):
        find_head(Head(kind="detr", outputs=("scores",)), ["a", "b"])
    with pytest.raises(DatasetError, match="needs the size of the model's picture"):
        read("detr", np.zeros((1, 3, 3)), np.zeros((1, 3, 4)), feed={})
