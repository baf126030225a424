"""A folder with a sub-folder for each class."""

from __future__ import annotations

import numpy as np
import pytest
from support.pictures import GREEN, PICTURE, STRETCH, class_folders, picture

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts


def test_each_picture_has_the_class_of_its_folder(tmp_path):
    folder = class_folders(tmp_path / "set", {"cat": 3, "dog": 2, "emu": 1})
    dataset = open_dataset(DataSource(path=str(folder), preprocessing=STRETCH), [PICTURE])
    assert (dataset.count, dataset.task, dataset.class_names) == (6, "classification", ("cat", "dog", "emu"))
    samples = list(dataset.samples())
    # Each class has a color of its own: red, green, blue.
    assert all(int(sample.feed["x"][0, :, 0, 0].argmax()) == sample.labels[0] for sample in samples)
    assert sorted(int(sample.labels[0]) for sample in samples) == [0, 0, 0, 1, 1, 2]
    assert samples[0].feed["x"].shape == (1, 3, 8, 8) and samples[0].feed["x"].dtype == np.float32
    assert all(folder.as_posix() in sample.where for sample in samples)


def test_declared_names_say_the_order_and_an_undeclared_folder_is_an_error(tmp_path):
    folder = class_folders(tmp_path / "set", {"cat": 1, "dog": 1})
    source = DataSource(path=str(folder), preprocessing=STRETCH, class_names=("dog", "bird", "cat"))
    assert sorted(int(sample.labels[0]) for sample in open_dataset(source, [PICTURE]).samples()) == [0, 2]
    with pytest.raises(DatasetError, match="there is no class 'dog'"):
        open_dataset(DataSource(path=str(folder), preprocessing=STRETCH, class_names=("cat", "dgo")), [PICTURE])


def test_the_first_samples_are_of_all_classes(tmp_path):
    folder = class_folders(tmp_path / "set", {"a": 40, "b": 40})
    dataset = open_dataset(DataSource(path=str(folder), preprocessing=STRETCH), [PICTURE])
    first = [int(sample.labels[0]) for sample, _ in zip(dataset.samples(), range(20), strict=False)]
    assert 4 <= sum(first) <= 16
    assert [s.where for s in dataset.samples()] == [s.where for s in dataset.samples()]


def test_chosen_samples_are_those_of_the_same_places(tmp_path):
    folder = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    dataset = open_dataset(DataSource(path=str(folder), preprocessing=STRETCH), [PICTURE])
    everything = [sample.where for sample in dataset.samples()]
    assert [sample.where for sample in dataset.chosen([1, 4, 9])] == [everything[1], everything[4], everything[9]]


def test_pictures_share_a_feed_where_the_batch_is_open_and_fill_it_where_it_is_fixed(tmp_path):
    folder = class_folders(tmp_path / "set", {"a": 5, "b": 2})
    source = DataSource(path=str(folder), preprocessing=STRETCH)
    batches = list(open_dataset(source, [PICTURE]).batches(4))
    assert [sample.feed["x"].shape[0] for sample in batches] == [4, 3]
    assert [len(sample.labels) for sample in batches] == [4, 3]
    four = TensorFacts(name="x", dtype="float32", shape=(4, 3, 8, 8))
    with pytest.raises(DatasetError, match="takes exactly 4 at once"):
        open_dataset(source, [four])
    picture(folder / "b/more.png", GREEN)
    fixed = open_dataset(source, [four])
    assert fixed.count == 2 and [sample.size for sample in fixed.samples()] == [4, 4]


def test_a_dataset_in_parts_is_read_by_part(tmp_path):
    for part, count in (("train", 3), ("val", 1)):
        class_folders(tmp_path / "set" / part, {"a": count, "b": count})
    root = str(tmp_path / "set")
    assert open_dataset(DataSource(path=root, split="val", preprocessing=STRETCH), [PICTURE]).count == 2
    with pytest.raises(DatasetError, match="comes in parts: train, val") as caught:
        open_dataset(DataSource(path=root, preprocessing=STRETCH), [PICTURE])
    assert "split = 'val'" in caught.value.hint
    with pytest.raises(DatasetError, match="no part 'vall'"):
        open_dataset(DataSource(path=root, format="imagefolder", split="vall", preprocessing=STRETCH), [PICTURE])


def test_a_class_without_pictures_is_an_error_or_passed_over(tmp_path):
    folder = class_folders(tmp_path / "set", {"a": 1, "b": 0})
    with pytest.raises(DatasetError, match="b holds no pictures"):
        open_dataset(DataSource(path=str(folder), preprocessing=STRETCH), [PICTURE])
    dataset = open_dataset(DataSource(path=str(folder), preprocessing=STRETCH, skip_broken=True), [PICTURE])
    assert dataset.skipped_count == 1 and "b: it holds no pictures" in dataset.skipped[0]
    assert dataset.class_names == ("a", "b")
