"""Datasets of YOLO's form."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pictures import LETTERBOX, PICTURE, STRETCH, picture, yolo

from edgedeploy.datasets.class_numbers import ClassNumbers
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.datasets.labels.yolo_rows import RowForm, read_rows
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError
from edgedeploy.values.data import DataSource


def opened(folder: Path, **keys: Any) -> Any:
    return open_dataset(DataSource(path=str(folder), **{"preprocessing": STRETCH, **keys}), [PICTURE])


def only(folder: Path, **keys: Any) -> Any:
    (sample,) = opened(folder, **keys).samples()
    (found,) = sample.labels
    return found


def test_rows_are_shares_of_the_picture(tmp_path):
    folder = yolo(tmp_path / "set", {"a": "1 0.5 0.5 0.5 0.5\n0 0.25 0.5 0.5 1\n"})
    found = only(folder)
    assert found.boxes.tolist() == [[2, 2, 6, 6], [0, 0, 4, 8]] and found.classes.tolist() == [1, 0]
    assert only(folder, preprocessing=LETTERBOX).boxes.tolist() == [[2, 3, 6, 5], [0, 2, 4, 6]]
    assert only(folder / "data.yaml").boxes.shape == (2, 4)
    dataset = opened(folder)
    assert (dataset.task, dataset.class_names) == ("detection", ("cat", "dog"))


def test_a_picture_without_a_file_or_rows_shows_nothing(tmp_path):
    folder = yolo(tmp_path / "set", {"a": "", "b": "0 0.5 0.5 1 1"})
    picture(folder / "images/val/c.png")
    assert sorted(len(sample.labels[0].boxes) for sample in opened(folder).samples()) == [0, 0, 1]


def test_without_any_label_there_are_none(tmp_path):
    """Each picture was taken for one of nothing."""
    folder = yolo(tmp_path / "set", {"a": ""})
    (folder / "labels/val/a.txt").unlink()
    assert not opened(folder).has_labels


def test_polygons_are_boxes_or_masks_by_the_task(tmp_path):
    folder = yolo(tmp_path / "set", {"a": "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n1 0.5 0.5 1 1"})
    assert only(folder).boxes.tolist() == [[2, 2, 6, 6], [0, 0, 8, 8]]
    found = only(folder, task="instance-segmentation")
    assert found.masks[0].sum() == 16 and found.masks[1].all()


def test_poses_have_the_points_that_the_yaml_says(tmp_path):
    folder = yolo(tmp_path / "set", {"a": "0 0.5 0.5 1 1 0.5 0.5 2 0 0 0"}, yaml="kpt_shape: [2, 3]\n")
    assert opened(folder).task == "keypoints"
    assert only(folder).keypoints.tolist() == [[[4, 4, 2], [0, 0, 0]]]
    (folder / "data.yaml").write_text((folder / "data.yaml").read_text().replace("[2, 3]", "[3, 2]"))
    assert only(folder).keypoints.tolist() == [[[4, 4, 2], [0, 0, 0], [0, 0, 0]]]


def test_parts_may_be_lists_of_pictures(tmp_path):
    folder = yolo(tmp_path / "set", {"a": "0 0.5 0.5 1 1", "b": "1 0.5 0.5 1 1"})
    (folder / "val.txt").write_text("./images/val/b.png\n")
    (folder / "data.yaml").write_text("val: val.txt\nnames: [cat, dog]\nnc: 2\n")
    assert only(folder).classes.tolist() == [1]
    (folder / "val.txt").write_text("./images/val/gone.png\n./images/val/b.png\n")
    with pytest.raises(DatasetError, match=r"gone\.png does not exist"):
        opened(folder)


def test_without_a_yaml_names_have_to_be_declared(tmp_path):
    folder = yolo(tmp_path / "set", {"a": "1 0.5 0.5 1 1"})
    (folder / "data.yaml").unlink()
    with pytest.raises(InvalidFileError, match=r"has no data\.yaml"):
        opened(folder)
    assert only(folder, class_names=("cat", "dog")).classes.tolist() == [1]


def test_pictures_and_labels_may_lie_side_by_side(tmp_path):
    """As labelImg saves them, with the names of classes."""
    folder = tmp_path / "set"
    picture(folder / "a.png", size=(16, 8))
    (folder / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    (folder / "classes.txt").write_text("cat\ndog\n")
    assert opened(folder).class_names == ("cat", "dog")
    assert only(folder).boxes.tolist() == [[2, 2, 6, 6]]


def test_the_parts_of_an_export_are_found_where_it_says_them_a_folder_too_high(tmp_path):
    """Roboflow's `data.yaml` says `../valid/images` of the folder `valid` beside it."""
    folder = tmp_path / "set"
    for part, count in (("train", 2), ("valid", 1)):
        for number in range(count):
            picture(folder / part / f"images/{number}.png")
            (folder / part / "labels").mkdir(exist_ok=True)
            (folder / part / f"labels/{number}.txt").write_text("0 0.5 0.5 1 1")
    (folder / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['cat']\n")
    assert (opened(folder).count, opened(folder, split="train").count) == (1, 2)


def test_classes_of_whole_pictures_are_folders(tmp_path):
    for name in ("cat", "dog"):
        picture(tmp_path / "set/val" / name / "a.png")
    dataset = opened(tmp_path / "set", format="yolo", task="classification")
    assert (dataset.class_names, dataset.task) == (("cat", "dog"), "classification")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2 0.5 0.5 1 1", r"a\.txt:1: there is no class 2"),
        ("-1 0.5 0.5 1 1", "there is no class -1"),
        ("0.5 0.5 0.5 1 1", "no whole number"),
        ("0 0.5 0.5 1", "4 values"),
        ("0 0.5 0.5 1 1 1", "6 values"),
        ("0 0.5 0.5 x 1", "a value is no number"),
        ("0 nan 0.5 1 1", "values"),
        ("0 320 240 64 48", "coordinates up to"),
        ("0 1.5 0.5 0.2 0.2", "lies outside the picture"),
        ("0 0.5 0.5 -0.2 0.2", "is empty or negative"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "a polygon has x and y of each point"),
    ],
)
def test_a_bad_row_is_an_error_that_names_file_and_line(tmp_path, row, words):
    folder = yolo(tmp_path / "set", {"a": row})
    with pytest.raises(DatasetError, match=words) as caught:
        only(folder)
    assert caught.value.hint


def test_a_label_without_its_picture_is_an_error(tmp_path):
    folder = yolo(tmp_path / "set", {"a": "0 0.5 0.5 1 1"})
    (folder / "labels/val/lone.txt").write_text("0 0.5 0.5 1 1")
    with pytest.raises(DatasetError, match=r"lone\.txt labels a picture that is not there"):
        opened(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("val: images/val\n", "names no classes"),
        ("val: images/val\nnames: {0: cat, 2: dog}\n", "names no classes"),
        ("val: images/val\nnames: [cat]\nnc: 2\n", "nc is 2, and there are 1 names"),
        ("names: [cat]\n", "has no part 'val'"),
        ("- a\n", "not a dataset of YOLO's form"),
        ("a: [\n", "is not YAML"),
        ("a: &x [1]\nb: *x\nnames: [cat]\n", "has aliases"),
        ("names: [cat]\nval: 3\n", "a part is neither a path nor a list"),
        ("names: [cat]\nval: images/val\nkpt_shape: 17\n", "kpt_shape is 17"),
        ("names: !!python/object/apply:os.system [exit]\n", "is not YAML"),
    ],
)
def test_a_bad_yaml_is_an_error(tmp_path, text, words):
    folder = yolo(tmp_path / "set", {"a": "0 0.5 0.5 1 1"})
    (folder / "data.yaml").write_text(text)
    with pytest.raises(DatasetError, match=words):
        opened(folder)


@given(st.text(st.sampled_from("0123456789. -\ne"), max_size=60))
def test_rows_give_objects_or_an_error(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("rows") / "a.txt"
    file.write_text(text)
    try:
        found = read_rows(file, RowForm(polygons=True), ClassNumbers(("a", "b"), "here"), (10, 10))
    except EdgedeployError:
        return
    assert found.boxes.shape == (len(found.classes), 4) and np.isfinite(found.boxes).all()
    assert set(found.classes.tolist()) <= {0, 1} and all(map(math.isfinite, found.classes))
