"""Which channels mean the same is told by their values, and by nothing that a classifier or an embedding has too."""

from __future__ import annotations

import numpy as np
import pytest

from edgedeploy.metrics.channel_groups import channel_axis, named
from edgedeploy.metrics.group_agreement import GroupAgreements, ReferenceGroups


def detector(rng, anchors=200, classes=3, size=320.0):
    """Outputs of 4 pictures as a YOLO has them: pixels, then scores that are nearly all 0."""
    boxes = rng.uniform(0, size, (4, 4, anchors))
    scores = rng.beta(0.05, 4, (4, classes, anchors))
    return np.concatenate((boxes, scores), axis=1).astype(np.float32)


def groups_of(output, reference, declared=None):
    groups = ReferenceGroups(["y"], declared)
    kept = GroupAgreements(groups)
    kept.add([output], groups.add([reference]))
    assert list(groups.groups()) == list(kept.figures())
    return kept.figures()


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((8, 10), 1),
        ((8, 84, 8400), 1),
        ((8, 8400, 84), 2),
        ((1, 255, 20, 20), 1),
        ((1, 20, 20, 255), 3),
        ((1, 3, 80, 80, 85), 4),
        ((8,), None),
        ((8, 1), None),
        ((8, 3000), None),
    ],
)
def test_the_axis_of_channels(shape, axis):
    assert channel_axis(shape) == axis


def test_groups_are_named_as_numpy_indexes_them():
    assert named((0, 1, 2, 3), 1) == "[:, 0:4]"
    assert named((0, 2, 3), 2) == "[:, :, 0:1,2:4]"


def test_zeroed_scores_of_a_detector_show_in_their_group_alone(rng):
    expected = detector(rng)
    found = expected.copy()
    found[:, 4:] = 0
    figures = groups_of(found, expected)
    assert list(figures) == ["y[:, 0:4]", "y[:, 4:7]"]
    assert figures["y[:, 0:4]"].sqnr_db is None
    assert figures["y[:, 4:7]"].sqnr_db == pytest.approx(0.0)
    assert figures["y[:, 4:7]"].cosine == 0.0


def test_the_anchors_may_come_first(rng):
    expected = detector(rng).transpose(0, 2, 1)
    assert list(groups_of(expected, expected)) == ["y[:, :, 0:4]", "y[:, :, 4:7]"]


def test_coordinates_relative_to_the_picture_are_told_from_scores(rng):
    expected = detector(rng, anchors=500, size=1.0)
    assert list(groups_of(expected, expected)) == ["y[:, 0:4]", "y[:, 4:7]"]


def test_a_class_that_no_sample_shows_is_no_group_of_its_own(rng):
    expected = detector(rng)
    expected[:, 5] *= 1e-4
    assert list(groups_of(expected, expected)) == ["y[:, 0:4]", "y[:, 4:7]"]


def softmax(rng, *shape):
    powers = np.exp(rng.normal(0, 4, shape))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: softmax(rng, 50, 10),
        lambda rng: softmax(rng, 4, 5, 16, 16),
        lambda rng: rng.normal(0, 3, (50, 10)),
        lambda rng: np.maximum(rng.normal(0, np.linspace(0.1, 5, 64), (50, 64)), 0),
        lambda rng: rng.uniform(0, 1, (4, 3, 32, 32)),
        lambda rng: 1 / (1 + np.exp(-rng.normal(-3, 4, (50, 20)))),
    ],
    ids=["softmax", "segmentation", "logits", "features after a ReLU", "picture", "several labels"],
)
def test_channels_of_one_kind_are_not_parted(rng, make):
    expected = make(rng).astype(np.float32)
    expected[..., -1] = 0  # a channel, or a column of pixels, that is silent
    assert groups_of(expected, expected) == {}


def test_the_order_of_the_samples_does_not_matter(rng):
    expected, noise = detector(rng), rng.normal(0, 0.01, (4, 7, 200)).astype(np.float32)
    ahead, back = ReferenceGroups(["y"]), ReferenceGroups(["y"])
    forward, backward = GroupAgreements(ahead), GroupAgreements(back)
    for place in range(4):
        each, other = slice(place, place + 1), slice(3 - place, 4 - place)
        forward.add([(expected + noise)[each]], ahead.add([expected[each]]))
        backward.add([(expected + noise)[other]], back.add([expected[other]]))
    one, two = forward.figures(), backward.figures()
    assert list(one) == list(two) and len(one) == 2
    for name, agreement in one.items():
        assert agreement.sqnr_db == pytest.approx(two[name].sqnr_db) and agreement.samples == 4


def test_a_number_that_is_none_makes_its_group_the_floor(rng):
    expected = detector(rng)
    found = expected.copy()
    found[0, 5, 3] = np.nan
    figures = groups_of(found, expected)
    assert figures["y[:, 4:7]"].sqnr_db == -300 and figures["y[:, 4:7]"].nonfinite_elements == 1
    assert figures["y[:, 0:4]"].sqnr_db is None


def test_a_head_says_which_channels_mean_what(rng):
    expected = rng.normal(0, 1, (2, 7, 50)).astype(np.float32)
    found = expected.copy()
    found[:, 4:] = 0
    declared = {"boxes": (0, (slice(None), slice(0, 4))), "classes": (0, (slice(None), slice(4, 7)))}
    figures = groups_of(found, expected, lambda shapes: declared)
    assert figures["y[boxes]"].sqnr_db is None and figures["y[classes]"].sqnr_db == pytest.approx(0.0)


def test_extents_that_depend_on_values_are_no_channels(rng):
    groups = ReferenceGroups(["y"])
    kept = GroupAgreements(groups)
    for channels in (5, 6):
        kept.add([np.ones((1, channels), np.float32)], groups.add([np.ones((1, channels), np.float32)]))
    assert kept.figures() == {}


@pytest.mark.parametrize("declared", [None, {"boxes": (0, (slice(None), slice(0, 4)))}], ids=["by values", "by a head"])
def test_what_does_not_depend_on_the_input_is_no_signal(rng, declared):
    """Boxes are the places of anchors, and a little that each picture moves them by."""
    expected = np.concatenate(
        (np.repeat(rng.uniform(50, 300, (1, 4, 200)), 8, axis=0), rng.beta(0.05, 4, (8, 3, 200))), axis=1
    ).astype(np.float32)
    expected[:, :4] += rng.normal(0, 10, (8, 4, 200))
    found = expected.copy()
    found[:, :4] = expected[:, :4].mean(axis=0)
    figures = groups_of(found, expected, None if declared is None else lambda shapes: declared)
    boxes = next(iter(figures.values()))
    assert boxes.sqnr_db > 20
    assert boxes.deviation_sqnr_db == pytest.approx(0.0, abs=1e-3)


def test_one_sample_tells_nothing_of_what_depends_on_the_input(rng):
    expected = detector(rng)[:1]
    figures = groups_of(expected + np.float32(0.1), expected)
    assert all(agreement.deviation_sqnr_db is None for agreement in figures.values())


@pytest.mark.parametrize("declared", [None, {"boxes": (0, (slice(None), slice(0, 4)))}], ids=["by values", "by a head"])
def test_a_shift_of_a_channel_is_told_from_noise(rng, declared):
    expected = detector(rng)
    shifted, noisy = expected.copy(), expected.copy()
    shifted[:, 0] += 8
    noisy[:, :4] += rng.normal(0, 8, (4, 4, 200))

    def boxes(found):
        return next(iter(groups_of(found, expected, declared and (lambda shapes: declared)).values()))

    assert boxes(shifted).drift_share == pytest.approx(1.0, abs=1e-3)
    assert boxes(noisy).drift_share < 0.05
    assert boxes(expected).drift_share is None
