from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.datasets.source import load_source, with_defaults
from edgedeploy.foundation.errors import DatasetError, InvalidFileError, UnknownNameError
from edgedeploy.values.data import DataSource
from edgedeploy.values.head import Head
from edgedeploy.values.model import TensorFacts

X = TensorFacts(name="x", dtype="float32", shape=("N", 3))


@pytest.fixture
def declared(tmp_path: Path) -> Path:
    """A `data.toml` in a folder of its own, beside the file that it names."""
    folder = tmp_path / "set"
    folder.mkdir()
    np.savez(folder / "some.npz", x=np.zeros((4, 3), np.float32), labels=np.arange(4))
    (folder / "data.toml").write_text('path = "some.npz"\n')
    return folder / "data.toml"


def test_paths_are_relative_to_the_file_that_names_them(declared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = open_dataset("set/data.toml", [X])
    assert dataset.count == 4
    assert dataset.spec == "set/data.toml"


def test_a_source_opens_as_its_file_does(declared):
    source = load_source(declared)
    assert open_dataset(source, [X]).sha256 == open_dataset(str(declared), [X]).sha256
    assert open_dataset(source, [X]).spec == source.path


def test_an_unknown_key_is_named_with_file_and_line(declared):
    declared.write_text('path = "some.npz"\nlabel = "labels.csv"\n')
    with pytest.raises(InvalidFileError, match=r"data\.toml:2: label: unknown key"):
        open_dataset(str(declared), [X])


def test_an_unknown_format_is_refused(declared):
    with pytest.raises(UnknownNameError, match="no format of data 'cocoo'"):
        open_dataset(DataSource(path=str(declared.parent), format="cocoo"), [X])


def test_what_a_source_says_itself_goes_before_what_is_shared():
    own, shared = Head(kind="yolov8"), Head(kind="ssd")
    source = DataSource(path="a", preprocessing={"scale": 1.0}, head=own)
    found = with_defaults(source, {"scale": 2.0, "color": "bgr"}, shared)
    assert found.preprocessing == {"scale": 1.0, "color": "bgr"}
    assert found.head == own
    assert with_defaults(DataSource(path="a"), {}, shared).head == shared


@pytest.mark.parametrize("key", ["preprocessing", "labels", "split", "target"])
def test_what_arrays_cannot_have_is_an_error(declared, key):
    value = {"color": "bgr"} if key in ("preprocessing", "target") else "val"
    with pytest.raises(DatasetError, match=f"{key} is declared, and the data is arrays"):
        open_dataset(DataSource(path=str(declared.parent / "some.npz"), **{key: value}), [X])


def test_arrays_have_the_task_and_head_that_are_declared(declared):
    source = DataSource(path=str(declared.parent / "some.npz"), task="detection", head=Head(kind="yolov8"))
    dataset = open_dataset(source, [X])
    assert (dataset.task, dataset.head) == ("detection", Head(kind="yolov8"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.npy", "single array"),
        ("a.JPG", "one picture"),
        ("a.pt", "is a model"),
        ("a.safetensors", "is a model"),
        ("a.zip", "is an archive"),
        ("a.PKL", "would run code"),
        ("a.mp4", "a video"),
    ],
)
def test_what_is_no_data_is_answered_with_what_to_do(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"\0" * 16)
    with pytest.raises(InvalidFileError, match=words) as caught:
        open_dataset(str(tmp_path / name), [X])
    assert caught.value.hint
