"""What all sets of pictures share: what is broken, what is skipped, the hash, the memory of a listing."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pictures import BLUE, PICTURE, STRETCH, class_folders, picture

from edgedeploy.datasets.compact_names import CompactNames
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.datasets.order import mixed_order
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts


def declared(folder: Path, **keys: object) -> DataSource:
    return DataSource(path=str(folder), **{"preprocessing": STRETCH, **keys})


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims an extent and holds one row of nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


BROKEN = {
    "text": b"no picture at all",
    "empty": b"",
    "cut": None,
    "forty thousand": png_of_size(40_000, 40_000),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "set", {"a": 4, "b": 4})


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_picture_is_an_error_that_names_it_or_is_counted_and_listed(folder, kind):
    bad = folder / "b/002.png"
    content = BROKEN[kind]
    bad.write_bytes(bad.read_bytes()[:45] if content is None else content)
    with pytest.raises(DatasetError, match=r"b/002\.png") as caught:
        list(open_dataset(declared(folder), [PICTURE]).samples())
    assert caught.value.hint or caught.value.why
    dataset = open_dataset(declared(folder, skip_broken=True), [PICTURE])
    for _ in range(2):
        assert len(list(dataset.samples())) == 7
    assert dataset.skipped_count == 1 and dataset.skipped[0].startswith("b/002.png: ")


def test_of_many_broken_ones_twenty_are_listed(tmp_path):
    folder = class_folders(tmp_path / "set", {"a": 30, "b": 1})
    for number in range(25):
        (folder / f"a/{number:03}.png").write_bytes(b"no")
    dataset = open_dataset(declared(folder, skip_broken=True), [PICTURE])
    assert len(list(dataset.samples())) == 6
    assert dataset.skipped_count == 25 and len(dataset.skipped) == 20


def test_a_set_without_a_single_picture_that_can_be_read_is_an_error(tmp_path):
    folder = class_folders(tmp_path / "set", {"a": 1})
    (folder / "a/000.png").write_bytes(b"no")
    with pytest.raises(DatasetError, match="none of"):
        open_dataset(declared(folder, skip_broken=True), [PICTURE])


def test_an_empty_folder_is_an_error(tmp_path):
    (tmp_path / "set").mkdir()
    for form in ("", "pictures", "imagefolder"):
        with pytest.raises(DatasetError, match=r"holds no"):
            open_dataset(declared(tmp_path / "set", format=form), [PICTURE])


def test_preprocessing_has_to_be_declared(folder):
    with pytest.raises(DatasetError, match="nothing says how they are prepared") as caught:
        open_dataset(str(folder), [PICTURE])
    assert "--preset NAME (imagenet, yolo," in caught.value.hint


def test_a_model_of_two_inputs_takes_no_pictures_yet(folder):
    with pytest.raises(DatasetError, match="the model has 2 inputs"):
        open_dataset(declared(folder), [PICTURE, TensorFacts(name="size", dtype="int64", shape=(1, 2))])


def test_pictures_without_labels_serve_for_calibration(tmp_path):
    picture(tmp_path / "set/a.png")
    picture(tmp_path / "set/below/b.webp")
    dataset = open_dataset(declared(tmp_path / "set"), [PICTURE])
    assert (dataset.count, dataset.has_labels) == (2, False)
    assert [sample.labels for sample in dataset.samples()] == [None, None]


def test_the_hash_is_of_names_bytes_and_preprocessing(folder, tmp_path):
    def digest(place: Path = folder, **keys: object) -> str:
        return open_dataset(declared(place, **keys), [PICTURE]).sha256

    first = digest()
    assert first == digest()
    assert first == digest(preprocessing={**STRETCH, "color": "rgb"})
    folder.rename(tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere"
    assert digest(moved) == first
    assert digest(moved, preprocessing={"color": "bgr"}) != first
    assert digest(moved, class_names=("b", "a")) != first
    picture(moved / "a/000.png", BLUE)
    assert digest(moved) != first


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))))
def test_compact_names_are_what_was_put_in(names):
    found = CompactNames(names)
    assert list(found) == names
    twice = {name for name in names if names.count(name) > 1}
    assert found.twice() in (twice or {None})


def test_a_listing_of_many_names_takes_little_more_than_the_names():
    names = CompactNames(f"class-{number % 1000:04}/{number:08}.jpg" for number in range(50_000))
    assert names.size_bytes / len(names) == 8 + len("class-0000/00000000.jpg")


@given(st.integers(0, 3000))
def test_the_mixed_order_has_each_number_once(count):
    assert sorted(mixed_order(count).tolist()) == list(range(count))


def test_the_mixed_order_does_not_change():
    """It is in the hash of what was calibrated, and in the places of samples that got worse."""
    assert mixed_order(8).tolist() == [2, 4, 6, 5, 1, 7, 0, 3]
    assert np.corrcoef(mixed_order(1000), np.arange(1000))[0, 1] < 0.1
