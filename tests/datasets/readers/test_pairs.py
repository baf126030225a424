"""Masks, and pairs of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pictures import LETTERBOX, PICTURE, STRETCH, gray, picture

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.values.data import DataSource

HALVES = np.repeat(np.repeat(np.array([[0, 1]], np.uint8), 8, 0), 8, 1)
"""Of 16 x 8: the left half 0, the right half 1."""


def opened(folder: Path, **keys: Any) -> Any:
    return open_dataset(DataSource(path=str(folder), **{"preprocessing": STRETCH, **keys}), [PICTURE])


def masks(folder: Path, mask: np.ndarray = HALVES, ending: str = "") -> Path:
    for name in ("a", "b"):
        picture(folder / f"images/{name}.jpg", size=(16, 8))
        gray(folder / f"masks/{name}{ending}.png", mask)
    return folder


@pytest.mark.parametrize("ending", ["", "_mask"])
def test_masks_go_where_the_picture_goes(tmp_path, ending):
    dataset = opened(masks(tmp_path / "set", ending=ending))
    assert (dataset.count, dataset.task) == (2, "segmentation")
    (sample,) = dataset.batches(2)
    assert sample.labels.shape == (2, 8, 8) and sample.labels.dtype == np.int64
    assert not sample.labels[:, :, :4].any() and (sample.labels[:, :, 4:] == 1).all()
    boxed = next(opened(tmp_path / "set", preprocessing=LETTERBOX).samples()).labels[0]
    assert (boxed[:2] == 255).all() and (boxed[6:] == 255).all() and (boxed[2:6, 4:] == 1).all()


def test_masks_come_in_parts_in_either_order_of_folders(tmp_path):
    masks(tmp_path / "one/val")
    assert opened(tmp_path / "one", split="val").count == 2
    for name in ("images", "masks"):
        (tmp_path / "two" / name).mkdir(parents=True)
        (tmp_path / "one/val" / name).rename(tmp_path / "two" / name / "val")
    assert opened(tmp_path / "two", split="val").count == 2
    with pytest.raises(InvalidFileError, match="for the part 'train'"):
        opened(tmp_path / "two", format="masks", split="train")


def test_the_number_of_a_class_that_is_not_declared_is_an_error(tmp_path):
    folder = masks(tmp_path / "set", HALVES * 7)
    with pytest.raises(DatasetError, match=r"\.png: there is no class 7"):
        opened(folder, class_names=("sky", "road"))
    assert len(opened(masks(tmp_path / "other", HALVES * 255), class_names=("sky",)).class_names) == 1


def test_a_mask_of_another_size_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="has 8 x 8 pixels, and its picture 16 x 8"):
        opened(masks(tmp_path / "set", np.zeros((8, 8), np.uint8)))


def test_files_without_a_partner_are_errors_or_listed(tmp_path):
    folder = masks(tmp_path / "set")
    picture(folder / "images/lone.jpg", size=(16, 8))
    gray(folder / "masks/other.png", HALVES)
    with pytest.raises(DatasetError, match=r"lone\.jpg has no mask in"):
        opened(folder)
    (folder / "images/lone.jpg").rename(folder / "images/third.jpg")
    dataset = opened(folder, skip_broken=True)
    assert (dataset.count, dataset.skipped_count) == (2, 2)
    (folder / "images/third.jpg").unlink()
    with pytest.raises(DatasetError, match=r"other\.png is a mask without a picture"):
        opened(folder)
    (folder / "masks/a.bmp").write_bytes((folder / "masks/a.png").read_bytes())
    with pytest.raises(DatasetError, match="has two files for one picture"):
        opened(folder)


def test_the_target_of_a_pair_is_as_many_times_larger_as_its_picture(tmp_path):
    folder = tmp_path / "set"
    picture(folder / "inputs/a.png", (51, 102, 0), size=(8, 8))
    picture(folder / "targets/a.png", (255, 0, 51), size=(16, 16))
    dataset = opened(folder)
    (sample,) = dataset.samples()
    assert dataset.task == "picture-to-picture" and isinstance(sample.labels, tuple)
    assert sample.labels[0].shape == (3, 16, 16) and sample.labels[0].dtype == np.float32
    assert sample.labels[0][:, 0, 0] == pytest.approx([1, 0, 0.2])
    changed = next(opened(folder, target={"scale": 1.0, "color": "gray"}).samples()).labels[0]
    assert changed.shape == (1, 16, 16) and changed.max() > 1


def test_depths_are_gray_pictures_of_16_bits_or_arrays(tmp_path):
    folder = tmp_path / "set"
    picture(folder / "rgb/a.png")
    picture(folder / "rgb/b.png")
    gray(folder / "depth/a.png", np.full((8, 8), 5000, np.uint16))
    np.save(folder / "depth/b.npy", np.full((1, 8, 8), 2.5))
    target = {"color": "gray", "scale": 0.001}
    found = {Path(sample.where).stem: sample.labels[0] for sample in opened(folder, target=target).samples()}
    assert found["a"].shape == (1, 8, 8) and found["a"].max() == pytest.approx(5.0)
    assert found["b"].shape == (1, 8, 8) and found["b"].max() == 2.5
    (folder / "depth/b.npy").write_bytes(b"\x93NUMPY no")
    with pytest.raises(DatasetError, match=r"b\.npy is no array of numbers"):
        list(opened(folder, target=target).samples())
