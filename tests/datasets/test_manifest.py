"""Manifests: rows with their lines, and files that were made to do harm."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.datasets import manifest
from edgedeploy.foundation.errors import DatasetError, InvalidFileError


def test_csv_rows_have_the_line_where_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b'\xef\xbb\xbffile,text\r\na.wav,"two\nlines"\r\n\r\nb.wav,\r\n')
    assert [(row.line, row.fields) for row in manifest.rows(path)] == [
        (2, {"file": "a.wav", "text": "two\nlines"}),
        (5, {"file": "b.wav", "text": ""}),
    ]


def test_json_lines_keep_their_types(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"text": "a", "label": 1}\n\n{"text": "b"}\n')
    assert [(row.line, row.fields) for row in manifest.rows(path)] == [
        (1, {"text": "a", "label": 1}),
        (3, {"text": "b"}),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"file,label\na,1\nb\n", "line 3: 1 cells"),
        ("a.csv", b"file,file\na,1\n", "line 1: columns of the same name"),
        ("a.csv", b"file\n\xff\n", "line 2: not UTF-8"),
        ("a.csv", b'file\n"open\n', "line 2: no CSV"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2: no JSON"),
        ("a.jsonl", b"1\n", "line 1: no JSON object"),
        ("a.json", b'[\n{"a": 1}]\n', "line 1: a list begins here"),
        ("a.jsonl", b'{"a": ' + b"[" * 100_000, "line 1: no JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidFileError, match=said):
        list(manifest.rows(tmp_path / name))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_line_without_end_is_not_read_whole(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(1 << 30)  # sparse: zeros without a line end
    with pytest.raises(InvalidFileError, match="line 1: longer than"):
        list(manifest.rows(tmp_path / name))


def test_files_stay_inside_the_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "in.wav").touch()
    (tmp_path / "out.wav").touch()
    (data / "link.wav").symlink_to(tmp_path / "out.wav")
    (data / "sub").mkdir()
    (data / "way-out").symlink_to(tmp_path)
    folder = manifest.SampleFolder(data)
    assert folder.path("in.wav", "row") == folder.path("sub/../in.wav", "row") == data / "in.wav"
    assert folder.path(str(tmp_path / "out.wav"), "row") == tmp_path / "out.wav"
    for named in (
        "../out.wav",
        "link.wav",
        "way-out/out.wav",
        "sub/../../out.wav",
        "..",
        "sub/..",
        "",
        "no.wav",
        "a\0b",
        str(tmp_path),
        "/dev/zero",
        "x" * 5000,
    ):
        with pytest.raises(DatasetError, match=r"^row"):
            folder.path(named, "row")


@given(st.binary(max_size=200), st.sampled_from(["a.csv", "a.jsonl"]))
def test_any_bytes_are_rows_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    path = tmp_path_factory.mktemp("manifest") / name
    path.write_bytes(content)
    try:
        assert all(row.line >= 1 for row in manifest.rows(path))
    except InvalidFileError as error:
        assert str(path) in str(error)
