"""COCO's annotation files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pictures import LETTERBOX, PICTURE, STRETCH, coco

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError
from edgedeploy.values.data import DataSource
from edgedeploy.values.labels import Detections


def only(folder: Path, **keys: Any) -> Detections:
    """The objects of the only picture."""
    dataset = open_dataset(DataSource(path=str(folder), **{"preprocessing": STRETCH, **keys}), [PICTURE])
    (sample,) = dataset.samples()
    (found,) = sample.labels
    return found


def test_boxes_go_where_the_picture_goes(tmp_path):
    """Of a picture of 16 x 8 for an input of 8 x 8: stretched, and in a letterbox with bars of 2 above and below."""
    folder = coco(tmp_path / "set", [{"bbox": [4, 2, 8, 4]}, {"bbox": [0, 0, 16, 8], "category_id": 6, "iscrowd": 1}])
    stretched = only(folder)
    assert stretched.boxes.tolist() == [[2, 2, 6, 6], [0, 0, 8, 8]]
    assert stretched.classes.tolist() == [0, 1] and stretched.crowds.tolist() == [False, True]
    assert stretched.areas.tolist() == [16, 64]
    boxed = only(folder, preprocessing=LETTERBOX)
    assert boxed.boxes.tolist() == [[2, 3, 6, 5], [0, 2, 8, 6]]
    assert boxed.areas.tolist() == [8, 32]


def test_a_crop_clips_boxes_and_drops_those_that_are_cut_off(tmp_path):
    """The middle 8 columns of 16 are kept."""
    folder = coco(tmp_path / "set", [{"bbox": [0, 0, 2, 8]}, {"bbox": [2, 1, 4, 2]}])
    found = only(folder, preprocessing={"resize": "none", "crop": (8, 8)})
    assert found.boxes.tolist() == [[0, 1, 2, 3]]


def test_classes_are_the_categories_by_id_or_as_declared(tmp_path):
    folder = coco(tmp_path / "set", [{"bbox": [0, 0, 2, 2], "category_id": 9}], names=("cat", "dog", "emu"))
    assert only(folder).classes.tolist() == [2]
    assert only(folder, class_names=("emu", "cat")).classes.tolist() == [0]
    with pytest.raises(DatasetError, match="the category 9 is none of class_names"):
        only(folder, class_names=("dog", "cat"))


def test_classes_may_keep_the_ids_of_their_categories(tmp_path):
    """As TensorFlow's detectors for COCO do, whose 80 classes have ids up to 90."""
    folder = coco(tmp_path / "set", [{"bbox": [0, 0, 2, 2], "category_id": 6}], names=("cat", "dog"))
    source = DataSource(path=str(folder), preprocessing=STRETCH, class_ids_from=1)
    assert open_dataset(source, [PICTURE]).class_names == ("", "", "cat", "", "", "dog")
    assert only(folder, class_ids_from=1).classes.tolist() == [5]
    with pytest.raises(DatasetError, match="category ids from 3 to 6, and class_ids_from is 4"):
        only(folder, class_ids_from=4)


def test_a_box_partly_outside_is_clipped(tmp_path):
    assert only(coco(tmp_path / "set", [{"bbox": [-4, 2, 8, 40]}])).boxes.tolist() == [[0, 2, 2, 8]]


@pytest.mark.parametrize(
    ("bbox", "words"),
    [
        ([16, 0, 4, 4], "lies outside the picture, which has 16 x 8 pixels"),
        ([-9, 0, 4, 4], "lies outside"),
        ([2, 2, -1, 4], "is empty or negative"),
        ([2, 2, 0, 4], "is empty or negative"),
    ],
)
def test_a_box_outside_or_negative_is_an_error_or_skipped(tmp_path, bbox, words):
    folder = coco(tmp_path / "set", [{"bbox": bbox}], pictures=2)
    with pytest.raises(DatasetError, match=f"0.png: the box of object 0 {words}"):
        list(open_dataset(DataSource(path=str(folder), preprocessing=STRETCH), [PICTURE]).samples())
    dataset = open_dataset(DataSource(path=str(folder), preprocessing=STRETCH, skip_broken=True), [PICTURE])
    assert len(list(dataset.samples())) == 1 and dataset.skipped_count == 1 and words in dataset.skipped[0]


def test_keypoints_come_with_the_task(tmp_path):
    points = [4, 2, 2, 0, 0, 0, 8, 4, 1]
    folder = coco(tmp_path / "set", [{"bbox": [0, 0, 16, 8], "keypoints": points}])
    assert only(folder).keypoints is None
    found = only(folder, task="keypoints")
    assert found.keypoints.tolist() == [[[2, 2, 2], [0, 0, 0], [4, 4, 1]]]


def test_outlines_become_masks_of_the_input_with_the_task(tmp_path):
    square = [[4, 2, 12, 2, 12, 6, 4, 6]]
    runs = {"size": [8, 16], "counts": [0, 64, 64]}
    folder = coco(
        tmp_path / "set",
        [{"bbox": [4, 2, 8, 4], "segmentation": square}, {"bbox": [0, 0, 8, 8], "segmentation": runs, "iscrowd": 1}],
    )
    assert only(folder).masks is None
    found = only(folder, task="instance-segmentation")
    assert found.masks.shape == (2, 8, 8) and found.masks.dtype == bool
    assert np.argwhere(found.masks[0]).min(0).tolist() == [2, 2] and found.masks[0].sum() == 16
    assert found.masks[1, :, :4].all() and not found.masks[1, :, 4:].any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda document: document["images"].append(document["images"][0]), "two of `images` have the id 100"),
        (lambda document: document["annotations"][0].update(image_id=7), "is of the image 7, which is not in `images`"),
        (lambda document: document["annotations"][0].update(category_id=7), "is of the category 7"),
        (
            lambda document: document["annotations"].append(document["annotations"][0]),
            "two of `annotations` have the id",
        ),
        (lambda document: document["images"][0].update(file_name="gone.png"), "gone.png does not exist"),
        (lambda document: document["images"][0].update(file_name="../../x.png"), "which is no file inside"),
        (lambda document: document["images"][0].update(width=9, height=9), "its label says 9 x 9"),
        (lambda document: document["images"][0].update(width=8, height=16), "its label says 8 x 16"),
        (lambda document: document["annotations"][0].update(bbox=[1, 2]), "not an annotation file of COCO"),
        (lambda document: document["annotations"][0].update(bbox=None), "not an annotation file of COCO"),
        (
            lambda document: document.update(
                annotations=[{"keypoints": [1, 2], "bbox": [0, 0, 1, 1], "image_id": 100, "category_id": 3}]
            ),
            "no multiple of 3",
        ),
    ],
)
def test_a_bad_file_is_an_error(tmp_path, change, words):
    folder = coco(tmp_path / "set", [{"bbox": [0, 0, 4, 4]}])
    document = json.loads((folder / "annotations.json").read_text())
    change(document)
    (folder / "annotations.json").write_text(json.dumps(document))
    with pytest.raises(DatasetError, match=words) as caught:
        only(folder)
    assert caught.value.hint


def test_the_layout_of_the_original_is_found_by_split(tmp_path):
    """`annotations/instances_val2017.json` and `val2017/`."""
    folder = coco(tmp_path / "set", [{"bbox": [0, 0, 4, 4]}])
    (folder / "annotations").mkdir()
    (folder / "images").rename(folder / "val2017")
    for name in ("instances_val2017", "instances_train2017", "captions_val2017"):
        (folder / f"annotations/{name}.json").write_bytes((folder / "annotations.json").read_bytes())
    (folder / "annotations.json").unlink()
    assert len(only(folder, split="val2017").boxes) == 1
    assert len(only(folder / "annotations/instances_val2017.json").boxes) == 1
    with pytest.raises(DatasetError, match="several annotation files"):
        only(folder)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from(["bbox", "image_id", "category_id", "area", "iscrowd", "keypoints", "segmentation", "id"]), VALUES
)
def test_whatever_an_annotation_says_gives_objects_or_an_error(tmp_path_factory, key, value):
    folder = coco(tmp_path_factory.mktemp("set"), [{"bbox": [0, 0, 4, 4], key: value}])
    for task in ("detection", "keypoints", "instance-segmentation"):
        try:
            found = only(folder, task=task)
        except EdgedeployError:
            continue
        assert found.boxes.shape == (len(found.classes), 4) and np.isfinite(found.boxes).all()
        assert (found.boxes >= 0).all() and (found.boxes <= 8).all()


def test_a_part_that_is_not_there_is_an_error(tmp_path):
    """Its split was passed over, so that training and judging data were the same."""
    folder = coco(tmp_path / "set", [{"bbox": [0, 0, 4, 4]}])
    with pytest.raises(InvalidFileError, match="no annotation file of COCO for the part 'train'"):
        only(folder, format="coco", split="train")


def test_without_annotations_there_are_no_labels(tmp_path):
    folder = coco(tmp_path / "set", [])
    assert not open_dataset(DataSource(path=str(folder), preprocessing=STRETCH), [PICTURE]).has_labels
