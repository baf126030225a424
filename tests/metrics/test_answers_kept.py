"""What is left of a model's answers: detections matched one to one, pixels, characters."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.metrics.answers_kept import AnswerReader, KeptTally, edit_distance
from edgedeploy.metrics.heads.registry import find_head
from edgedeploy.values.head import Head
from edgedeploy.values.labels import Detections

BOXES = np.array([[0.0, 0, 10, 10], [20, 20, 40, 40], [60, 0, 80, 10]])


def detections(boxes=BOXES, classes=(0, 1, 1), scores=(0.9, 0.6, 0.3)):
    return Detections(boxes=np.asarray(boxes, float), classes=np.array(classes), scores=np.array(scores))


def tallied(answer, reference, score_min=0.25):
    tally = KeptTally(score_min)
    tally.add((answer,), (reference,))
    return tally.figure()


def test_the_same_detections_in_another_order_are_all_kept():
    other = detections(BOXES[::-1], (1, 1, 0), (0.3, 0.6, 0.9))
    kept = tallied(other, detections())
    assert (kept.what, kept.count, kept.kept, kept.added, kept.share) == ("detections", 3, 3, 0, 1.0)


@pytest.mark.parametrize(
    ("other", "kept", "added"),
    [
        (detections(BOXES + np.array([4, 0, 4, 0])), 2, 1),  # an IoU of 6/14 of the smallest
        (detections(classes=(0, 1, 0)), 2, 1),
        (detections(scores=(0.9, 0.6, 0.2)), 3, 0),  # near the limit it is still there
        (detections(scores=(0.9, 0.6, 0.1)), 2, 0),
        (detections(np.concatenate((BOXES, BOXES[:1])), (0, 1, 1, 0), (0.9, 0.6, 0.3, 0.5)), 3, 1),
        (detections(np.empty((0, 4)), (), ()), 0, 0),
    ],
    ids=["moved", "another class", "a little less sure", "not sure", "one twice", "none"],
)
def test_what_is_lost_and_what_is_new(other, kept, added):
    found = tallied(other, detections())
    assert (found.count, found.kept, found.added) == (3, kept, added)
    assert found.share == pytest.approx(kept / (3 + added))


def test_where_nothing_is_found_there_is_no_share():
    nothing = detections(scores=(0.1, 0.05, 0.0))
    assert tallied(nothing, nothing) is None
    assert tallied(detections(), nothing).share == 0.0


def test_pixels_and_characters():
    mask = np.zeros((4, 5), np.int64)
    other = mask.copy()
    other[0, :2] = 3
    assert tallied(other, mask).share == pytest.approx(0.9)
    kept = tallied("abxd", "abcd")
    assert (kept.what, kept.count, kept.kept) == ("characters", 4, 3)
    assert tallied("many more letters", "a").share == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(
    ("text", "wanted", "edits"), [("", "abc", 3), ("kitten", "sitting", 3), ("abc", "abc", 0), ("ab", "ba", 2)]
)
def test_edits_as_wagner_and_fischer_count_them(text, wanted, edits):
    assert edit_distance(text, wanted) == edits == edit_distance(wanted, text)


def test_a_head_reads_with_and_without_labels():
    output = np.zeros((2, 6, 40), np.float32)
    output[:, :4, 7], output[0, 5, 7], output[1, 4, 7] = [30, 30, 20, 20], 0.8, 0.2
    reader = AnswerReader(find_head(Head(kind="yolov8"), ("y",)))
    feed = {"x": np.zeros((2, 3, 64, 64), np.float32)}
    first, second = reader.read([output], feed, None)
    assert first.classes.tolist() == [1] and len(second.boxes) == 1
    assert len(reader.read([output[:1]], {"x": feed["x"][:1]}, (detections(),))) == 1
    # Candidates under half of what counts are not worth their time.
    strict = AnswerReader(find_head(Head(kind="yolov8", score_min=0.5), ("y",)))
    assert strict.score_min == 0.5 and len(strict.read([output], feed, None)[1].boxes) == 0
