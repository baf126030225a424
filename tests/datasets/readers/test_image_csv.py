"""Pictures with a CSV file of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.pictures import PICTURE, STRETCH, picture

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import DatasetError, InvalidFileError
from edgedeploy.values.data import DataSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "below/c.jpg"):
        picture(tmp_path / "set" / name)
    return tmp_path / "set"


def labels(folder: Path, text: str, **keys: object) -> dict[str, object]:
    """The label of each picture by its name, from a CSV file with this text."""
    (folder / "labels.csv").write_text(text)
    dataset = open_dataset(DataSource(path=str(folder), preprocessing=STRETCH, **keys), [PICTURE])
    return {Path(sample.where).name: sample.labels[0] for sample in dataset.samples()}


@pytest.mark.parametrize(
    "text",
    [
        "file,label\na.png,dog\nb.png,cat\nbelow/c.jpg,dog\n",
        "\ufeffid;image;class\r\n1;a.png;dog\r\n2;b.png;cat\r\n\r\n3;below\\c.jpg;dog\r\n",
        "a.png,dog\nb.png,cat\nbelow/c.jpg,dog",
    ],
)
def test_names_of_classes_are_numbered_in_the_order_of_the_alphabet(folder, text):
    assert labels(folder, text) == {"a.png": 1, "b.png": 0, "c.jpg": 1}


def test_names_of_classes_are_numbered_as_declared(folder):
    text = "file,label\na.png,dog\nb.png,cat\nbelow/c.jpg,1\n"
    assert labels(folder, text, class_names=("dog", "cat")) == {"a.png": 0, "b.png": 1, "c.jpg": 1}
    with pytest.raises(DatasetError, match=r"labels\.csv:3: there is no class 'cat'"):
        labels(folder, text, class_names=("dog", "bird"))
    with pytest.raises(DatasetError, match=r"labels\.csv:4: there is no class 2"):
        labels(folder, text.replace(",1", ",2"), class_names=("dog", "cat"))


def test_numbers_are_classes_and_fractions_are_to_be_estimated(folder):
    whole = labels(folder, "file,label\na.png,3\nb.png,0\nbelow/c.jpg,1\n")
    assert whole == {"a.png": 3, "b.png": 0, "c.jpg": 1} and whole["a.png"].dtype == np.int64
    ages = labels(folder, "file,label\na.png,3\nb.png,0.5\nbelow/c.jpg,1\n")
    assert ages == {"a.png": 3.0, "b.png": 0.5, "c.jpg": 1.0}
    both = labels(folder, "file,u,v\na.png,3,1\nb.png,0.5,2\nbelow/c.jpg,1,3\n", label_columns=("v", "u"))
    assert both["b.png"].tolist() == [2.0, 0.5]


def test_a_list_may_have_ids_without_endings(folder):
    """As Kaggle's lists have them."""
    assert labels(folder, "id,label\na,dog\nbelow/c,cat\n", format="image-csv") == {"a.png": 1, "c.jpg": 0}
    with pytest.raises(DatasetError, match=r"gone\.jpg does not exist"):
        labels(folder, "id,label\na,dog\ngone,cat\n", format="image-csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\na.png,1\nmissing.png,2\n", r"missing\.png does not exist"),
        ("file,label\na.png,1\na.png,2\n", r"lists 'a\.png' twice"),
        ("file,label\na.png,1\nb.png,\n", r"labels\.csv:3: a row without a label"),
        ("file,label\na.png,-1\n", r"labels\.csv:2: the class -1 is negative"),
        ("file,label\n../a.png,1\n", r"labels\.csv:2 names '\.\./a\.png'"),
        ("file,label\n/etc/a.png,1\n", r"labels\.csv:2 names '/etc/a\.png'"),
        ("file,what,other\na.png,1,2\n", r"has no column of labels"),
        ("file,label\n", "holds no pictures"),
        ('file,label\na.png,"' + "x" * 200_000 + '"\n', r"labels\.csv, line 2: no CSV"),
        ("file,label\na.png," + "x," * (9 << 20), r"labels\.csv, line 2: longer than 16,777,216 bytes"),
    ],
)
def test_a_bad_list_is_an_error_that_names_the_line(folder, text, words):
    with pytest.raises((DatasetError, InvalidFileError), match=words) as caught:
        labels(folder, text, format="image-csv")
    assert caught.value.hint


def test_a_missing_file_is_left_out_where_that_is_asked(folder):
    text = "file,label\na.png,1\nmissing.png,2\n"
    assert labels(folder, text, skip_broken=True) == {"a.png": 1}
    dataset = open_dataset(DataSource(path=str(folder), preprocessing=STRETCH, skip_broken=True), [PICTURE])
    assert dataset.count == 1
    assert dataset.skipped == (f"missing.png: it does not exist, and {folder}/labels.csv:3 names it",)


def test_the_list_may_lie_elsewhere_or_be_named_itself(folder, tmp_path):
    (tmp_path / "val.csv").write_text("file,label\na.png,1\n")
    source = DataSource(path=str(folder), labels=str(tmp_path / "val.csv"), preprocessing=STRETCH)
    assert open_dataset(source, [PICTURE]).count == 1
    (folder / "some.csv").write_text("file,label\na.png,1\nb.png,1\n")
    assert open_dataset(DataSource(path=str(folder / "some.csv"), preprocessing=STRETCH), [PICTURE]).count == 2
