"""Pictures that are turned by their EXIF data, and labels of what people saw when they drew them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import PICTURE, STRETCH, coco, yolo

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.data import DataSource


def turned(path: Path) -> None:
    """Save a picture of 8 x 16 lying on its side: 16 x 8 in the file, to be turned by 90 degrees; its top is white."""
    upright = np.zeros((16, 8, 3), np.uint8)
    upright[:8] = 255
    image = Image.fromarray(np.rot90(upright).copy())
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif)


def test_labels_in_shares_are_of_the_picture_as_it_is_seen(tmp_path):
    """As ultralytics reads them."""
    folder = yolo(tmp_path / "set", {"a": "0 0.5 0.25 1 0.5"})
    turned(folder / "images/val/a.png")
    (sample,) = open_dataset(DataSource(path=str(folder), preprocessing=STRETCH), [PICTURE]).samples()
    (x0, y0, x1, y1) = sample.labels[0].boxes[0].astype(int).tolist()
    assert [x0, y0, x1, y1] == [0, 0, 8, 4]
    seen = sample.feed["x"][0]
    assert seen[:, y0 : y1 - 1, x0:x1].min() > 0.9 and seen[:, y1 + 1 :].max() < 0.1


def test_labels_of_the_file_as_it_lies_are_told_by_its_size(tmp_path):
    folder = coco(tmp_path / "set", [{"bbox": [8, 0, 8, 8]}], size=(16, 8))
    turned(folder / "images/0.png")
    with pytest.raises(DatasetError, match="its label says 16 x 8") as caught:
        open_dataset(DataSource(path=str(folder), preprocessing=STRETCH), [PICTURE])
    assert caught.value.hint == "set orientation = false in [preprocessing]"
    lying = DataSource(path=str(folder), preprocessing={**STRETCH, "orientation": False})
    (sample,) = open_dataset(lying, [PICTURE]).samples()
    assert sample.labels[0].boxes.tolist() == [[4, 0, 8, 8]]
