from __future__ import annotations

import numpy as np
import pytest
from wild.metrics import (
    atoms_mapped,
    box_f1,
    captcha_characters,
    character_accuracy,
    cosine_to_float,
    exact_text,
    frames_right,
    letters_right,
    note_f1,
    spindle_f1,
    text_area_f1,
    voice_accuracy,
)


def steps(classes: list[int], count: int) -> np.ndarray:
    return np.eye(count, dtype=np.float32)[classes]


def test_a_line_is_read_by_the_best_path_and_spaces_do_not_count():
    # Blank is 0, the space 5: «1 1 _ 1 2» reads 1 1 2.
    scores = np.stack([steps([1, 1, 0, 1, 5, 2], 6), steps([0, 3, 3, 3, 0, 0], 6)])
    labels = np.array([[1, 1, 2], [3, 4, -1]])
    assert character_accuracy([scores], labels).tolist() == [1.0, 0.5]
    assert exact_text([scores], labels).tolist() == [1.0, 0.0]


def test_many_wrong_characters_are_no_worse_than_none_right():
    scores = steps([1, 2, 1, 2, 1, 2], 6)[np.newaxis]
    assert character_accuracy([scores], np.array([[3, -1]])).tolist() == [0.0]


def test_captchas_have_their_samples_on_the_second_axis_and_the_blank_last():
    first, second = steps([10, 36, 10, 11], 37), steps([12, 12, 36, 36], 37)
    scores = np.stack([first, second], axis=1)
    assert captcha_characters([scores], np.array([[10, 10, 11], [12, 13, 13]])).tolist() == pytest.approx([1.0, 1 / 3])


def test_text_areas_are_judged_page_by_page():
    labels = np.zeros((3, 4, 4), dtype=np.uint8)
    labels[0, :2], labels[1, 0] = 1, 1
    found = np.zeros((3, 1, 4, 4), dtype=np.float32)
    found[0, 0, :2], found[1, 0, 0, :2] = 0.9, 0.9
    assert text_area_f1([found], labels).tolist() == pytest.approx([1.0, 2 * 2 / (2 + 4), 1.0])


def yolox(boxes: list[tuple[float, float, float, float]], side: int = 64) -> np.ndarray:
    """Raw predictions with one object for each box (left, top, right, bottom), on the grid of stride 8."""
    cells = sum((side // stride) ** 2 for stride in (8, 16, 32))
    raw = np.zeros((1, cells, 6), dtype=np.float32)
    for left, top, right, bottom in boxes:
        x, y = (left + right) / 16, (top + bottom) / 16
        cell = int(y) * (side // 8) + int(x)
        raw[0, cell] = (x - int(x), y - int(y), np.log((right - left) / 8), np.log((bottom - top) / 8), 1.0, 0.9)
    return raw


def test_boxes_are_found_where_they_are_and_counted_once():
    boxes = [(4.0, 4.0, 20.0, 24.0), (36.0, 30.0, 60.0, 50.0)]
    labels = np.array([[*boxes, (-1, -1, -1, -1)]], dtype=np.float32)
    assert box_f1([yolox(boxes)], labels).tolist() == [1.0]
    # The same box seen from a neighbouring cell is suppressed; one elsewhere is a false alarm.
    assert box_f1([yolox([*boxes, (5.0, 12.0, 21.0, 25.0)])], labels).tolist() == [1.0]
    assert box_f1([yolox([*boxes, (40.0, 2.0, 62.0, 20.0)])], labels).tolist() == pytest.approx([0.8])
    assert box_f1([yolox([])], labels).tolist() == [0.0]
    assert box_f1([yolox([])], np.full((1, 2, 4), -1, dtype=np.float32)).tolist() == [1.0]


def test_boxes_of_a_broken_model_do_not_overflow():
    raw = yolox([(4.0, 4.0, 20.0, 24.0)])
    raw[..., 2:4] = 1e30
    scores = box_f1([raw], np.array([[[4.0, 4.0, 20.0, 24.0]]], dtype=np.float32))
    assert np.isfinite(scores).all()


def test_windows_that_are_left_out_do_not_count():
    probabilities = np.array([0.9, 0.1, 0.9, 0.9], dtype=np.float32)
    assert voice_accuracy([probabilities], np.array([[1, 0, 0, -1]])).tolist() == pytest.approx([2 / 3])
    assert voice_accuracy([probabilities[:1, np.newaxis]], np.array([1])).tolist() == [1.0]


def test_letters_behind_the_word_do_not_count():
    scores = np.stack([steps([2, 3, 0, 0], 4)]).astype(np.float16)
    assert letters_right([scores], np.array([[2, 1, -1, -1]])).tolist() == [0.5]


def test_frames_have_their_samples_on_the_second_axis():
    scores = np.stack([steps([1, 2, 3], 4), steps([0, 0, 0], 4)], axis=1)
    assert frames_right([scores], np.array([[1, 2, 0], [0, 0, 0]])).tolist() == pytest.approx([2 / 3, 1])


def test_the_cosine_of_outputs_that_are_nothing_or_not_finite_is_zero():
    wanted = np.ones((3, 4), dtype=np.float32)
    found = np.stack([np.ones(4), np.zeros(4), np.full(4, np.nan)]).astype(np.float32)
    assert cosine_to_float([found], wanted).tolist() == [1.0, 0.0, 0.0]


def test_notes_and_spindles_are_judged_by_their_own_output():
    active = np.zeros((1, 4, 3), dtype=np.uint8)
    active[0, 1, 2] = 1
    assert note_f1([np.zeros_like(active), active * 0.8], active).tolist() == [1.0]
    inside = np.array([[0, 1, 1, 0]], dtype=np.uint8)
    logits = np.array([[-1.0, 2.0, 2.0, -1.0, 5.0]])[..., np.newaxis]
    assert spindle_f1([np.zeros((1, 1, 3)), logits], inside).tolist() == [1.0]


def test_an_atom_comes_from_the_one_of_its_element_that_attends_most():
    # Tokens: two carbons and an oxygen react, a carbon and an oxygen come out.
    labels = np.array([[[6, 6, 8, 6, 8], [0, 1, 2, -1, -1], [-1, -1, -1, 1, 2]]])
    attention = np.zeros((5, 5), dtype=np.float32)
    attention[3] = [0.1, 0.2, 0.9, 0, 0]
    assert atoms_mapped([attention], labels).tolist() == [1.0]
    attention[0, 3] = 0.5
    assert atoms_mapped([attention], labels).tolist() == [0.5]
