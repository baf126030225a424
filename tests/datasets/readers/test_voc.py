"""Pascal VOC's folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pictures import PICTURE, STRETCH, voc

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.datasets.labels.voc_xml import read_voc
from edgedeploy.foundation.errors import DatasetError, EdgedeployError
from edgedeploy.values.data import DataSource


def opened(folder: Path, **keys: Any) -> Any:
    return open_dataset(DataSource(path=str(folder), **{"preprocessing": STRETCH, **keys}), [PICTURE])


def test_pixels_are_counted_from_one_and_the_last_belongs_to_the_box(tmp_path):
    folder = voc(tmp_path / "set", {"a": [("dog", 1, 1, 16, 8), ("cat", 5, 3, 12, 6)]})
    dataset = opened(folder)
    assert (dataset.class_names, dataset.task) == (("cat", "dog"), "detection")
    (sample,) = dataset.samples()
    (found,) = sample.labels
    assert found.boxes.tolist() == [[0, 0, 8, 8], [2, 2, 6, 6]] and found.classes.tolist() == [1, 0]


def test_pictures_and_labels_may_lie_side_by_side(tmp_path):
    """As labelImg saves them."""
    folder = voc(tmp_path / "set", {"a": [("dog", 1, 1, 16, 8)]})
    for name in ("JPEGImages/a.jpg", "Annotations/a.xml"):
        (folder / name).rename(folder / Path(name).name)
    for name in ("JPEGImages", "Annotations"):
        (folder / name).rmdir()
    (sample,) = opened(folder).samples()
    assert sample.labels[0].boxes.tolist() == [[0, 0, 8, 8]]


def test_a_list_says_which_pictures_belong_to_a_part(tmp_path):
    folder = voc(tmp_path / "set", {name: [("dog", 1, 1, 4, 4)] for name in "abc"})
    (folder / "ImageSets/Main").mkdir(parents=True)
    (folder / "ImageSets/Main/val.txt").write_text("a\nc\n")
    (folder / "ImageSets/Main/train.txt").write_text("b 1\n")
    assert opened(folder).count == 2
    assert opened(folder, split="train").count == 1
    with pytest.raises(DatasetError, match=r"no list .*test\.txt"):
        opened(folder, split="test")
    (folder / "ImageSets/Main/train.txt").write_text("b\ngone\n")
    with pytest.raises(DatasetError, match=r"gone\.jpg does not exist"):
        opened(folder, split="train")
    assert opened(folder, split="train", skip_broken=True).skipped_count == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotation>", "is not XML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><annotation/>', "has a document type"),
        ("<annotation><object><name>dog</name></object></annotation>", "has no xmin"),
        ("<annotation><object><bndbox/></object></annotation>", "has no name"),
        ("<annotation><size><width>5</width><height>5</height></size></annotation>", "its label says 5 x 5"),
        (
            "<annotation><object><name>dog</name><bndbox><xmin>9</xmin><ymin>1</ymin><xmax>3</xmax><ymax>4</ymax>"
            "</bndbox></object></annotation>",
            "is empty or negative",
        ),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(tmp_path, text, words):
    folder = voc(tmp_path / "set", {"a": []})
    (folder / "Annotations/a.xml").write_text(text)
    with pytest.raises(DatasetError, match=words) as caught:
        list(opened(folder).samples())
    assert "a.xml" in caught.value.what


@given(st.text(st.sampled_from("<>/object namebdx1-.&;!"), max_size=80))
def test_whatever_a_file_says_gives_objects_or_an_error(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("voc") / "a.xml"
    file.write_text(f"<annotation><object><name>a</name>{text}</object></annotation>")
    try:
        found = read_voc(file)
    except EdgedeployError:
        return
    assert found.boxes.shape == (len(found.names), 4)


def test_a_label_without_its_picture_is_an_error(tmp_path):
    folder = voc(tmp_path / "set", {"a": []})
    (folder / "Annotations/lone.xml").write_text("<annotation/>")
    with pytest.raises(DatasetError, match=r"lone\.xml labels a picture that is not in"):
        opened(folder)


def test_an_unknown_class_is_an_error(tmp_path):
    folder = voc(tmp_path / "set", {"a": [("dgo", 1, 1, 4, 4)]})
    with pytest.raises(DatasetError, match=r"a\.xml: there is no class 'dgo'") as caught:
        opened(folder, class_names=("dog",))
    assert "dog" in caught.value.hint
