"""Tables and series as samples: columns to inputs, labels, windows, and files that were made to do harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.datasets.base import Dataset
from edgedeploy.datasets.reader import find_reader
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts

X3 = TensorFacts(name="x", dtype="float32", shape=("N", 3))


def written(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def opened(path: Path, *inputs: TensorFacts, **keys: Any) -> Dataset:
    source = DataSource(path=str(path), **keys)
    return find_reader("parquet" if path.suffix == ".parquet" else "csv").open(source, path, inputs)


def refused(path: Path, *inputs: TensorFacts, **keys: Any) -> str:
    with pytest.raises((DatasetError, InvalidFileError)) as caught:
        list(opened(path, *inputs, **keys).samples())
    return str(caught.value)


IRIS = "a,b,c,kind\n1,2,3,cat\n4,5,6,dog\n7,8,9,cat\n"


def test_columns_that_are_no_label_go_to_the_one_input(tmp_path):
    data = opened(written(tmp_path, IRIS), X3, label_columns=("kind",))
    assert (data.count, data.has_labels) == (3, True)
    batches = list(data.batches(2))
    assert [batch.size for batch in batches] == [2, 1]
    np.testing.assert_array_equal(batches[0].feed["x"], np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    assert [list(batch.labels) for batch in batches] == [[0, 1], [0]]
    assert "0 'cat', 1 'dog'" in data.notes[0]
    assert data.class_names == ("cat", "dog") and data.class_counts() == [2, 1]
    assert [sample.where[-6:] for sample in data.samples()] == ["line 2", "line 3", "line 4"]


def test_class_names_give_the_order(tmp_path):
    data = opened(written(tmp_path, IRIS), X3, label_columns=("kind",), class_names=("dog", "cat"))
    assert [int(sample.labels[0]) for sample in data.samples()] == [1, 0, 1] and data.notes == ()
    said = refused(written(tmp_path, IRIS), X3, label_columns=("kind",), class_names=("cat", "doge"))
    assert "line 3: there is no class 'dog'" in said and "did you mean 'doge'" in said


@pytest.mark.parametrize(
    ("labels", "expected", "dtype"),
    [(("1", "0", "2"), [1, 0, 2], np.int64), (("1", "0.5", "2"), [1.0, 0.5, 2.0], np.float64)],
)
def test_numbers_are_class_numbers_or_measured(tmp_path, labels, expected, dtype):
    content = "a,b,c,y\n" + "".join(f"1,2,3,{label}\n" for label in labels)
    (batch,) = opened(written(tmp_path, content), X3, label_columns=("y",)).batches(3)
    assert batch.labels.dtype == dtype and list(batch.labels) == expected
    data = opened(written(tmp_path, content), X3, label_columns=("y",))
    assert data.task == ("classification" if dtype is np.int64 else "series")
    assert data.class_counts() == ([1, 1, 1] if dtype is np.int64 else None) and data.class_names == ()


def test_several_label_columns_are_a_row_of_numbers(tmp_path):
    content = "a,b,c,y,z\n1,2,3,4,5.5\n"
    (sample,) = opened(written(tmp_path, content), X3, label_columns=("y", "z")).samples()
    np.testing.assert_array_equal(sample.labels, [[4.0, 5.5]])


def test_each_input_takes_its_columns_and_text_stays_text(tmp_path):
    content = "age,job,pay\n30,nurse,1e3\n40,clerk,2000\n"
    age = TensorFacts(name="age", dtype="int64", shape=("N", 1))
    job = TensorFacts(name="job", dtype="str", shape=("N", 1))
    both = TensorFacts(name="both", dtype="float32", shape=("N", 2))
    (batch,) = opened(written(tmp_path, content), age, job, label_columns=("pay",)).batches(4)
    assert batch.feed["age"].tolist() == [[30], [40]] and batch.feed["job"].tolist() == [["nurse"], ["clerk"]]
    (batch,) = opened(
        written(tmp_path, content),
        both,
        inputs={"both": ("pay", "job")},
        preprocessing={"categories": {"job": ["clerk", "nurse"]}, "mean": {"pay": 1000}, "std": {"pay": 500}},
    ).batches(4)
    assert batch.feed["both"].tolist() == [[0.0, 1.0], [2.0, 0.0]] and batch.labels is None


def test_columns_fill_an_input_of_more_axes(tmp_path):
    picture = TensorFacts(name="x", dtype="uint8", shape=("N", 1, 2, 2))
    (sample,) = opened(written(tmp_path, "a,b,c,d\n1,2,3,255\n"), picture).samples()
    assert sample.feed["x"].tolist() == [[[[1, 2], [3, 255]]]]


def test_quantized_inputs_get_the_nearest_integers(tmp_path):
    x = TensorFacts(name="x", dtype="int8", shape=(1, 3), scale=0.5, zero_point=-1)
    (sample,) = opened(written(tmp_path, "a,b,c\n1.2,-0.3,1000\n"), x).samples()
    assert sample.feed["x"].dtype == np.int8 and sample.feed["x"].tolist() == [[1, -2, 127]]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_the_separator_is_that_of_the_header(tmp_path, separator):
    path = written(tmp_path, IRIS.replace(",", separator))
    assert opened(path, X3, label_columns=("kind",)).count == 3


def test_a_missing_value_is_an_error_or_what_is_declared(tmp_path):
    path = written(tmp_path, "a,b,c\n1,2,3\n4,,NaN\n")
    said = refused(path, X3)
    assert "line 3, column 'b': the value is missing" in said and "fill = { b = … }" in said
    rows = [sample.feed["x"][0].tolist() for sample in opened(path, X3, preprocessing={"fill": {"b": 0}}).samples()]
    assert rows[1][:2] == [4.0, 0.0] and np.isnan(rows[1][2])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b,c\n1,2,x\n", "line 2, column 'c': 'x' is no number"),
        ('a;b;c\n1;2;"3,5"\n', "decimal point"),
        ("a,b,c\n1,2,1e99\n", "line 2, column 'c': '1e99' is too large for float32"),
        ("a,b,c\n1,2,1_000\n", "'1_000' is no number"),
        ("a,b,c\n1,2\n", "line 2: 2 cells"),
        ("a,b\n1,2\n", "2 columns for the input 'x'"),
        ("a,b,c\n", "holds no samples"),
        ("", "is empty"),
        (b"a,b,c\n1,2,3\n1,2,\xe4\n", "line 3: not UTF-8"),
        ("a,b,c\n1,2,3\n".encode("utf-16"), "its first bytes say UTF-16"),
    ],
)
def test_what_is_wrong_is_named_with_line_and_column(tmp_path, content, said):
    assert said in refused(written(tmp_path, content), X3)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"label_columns": ("kinds",)}, "there is no column 'kinds'"),
        ({"inputs": {"y": ("a",)}}, "inputs names 'y'"),
        ({"inputs": {"x": ("a", "q", "c")}}, "no column 'q'"),
        ({"preprocessing": {"fil": {}}}, "no key 'fil'"),
        ({"preprocessing": {"mean": {"a": "one"}}}, "Expected `float`"),
        ({"group": "kind"}, "window is not"),
        ({"split": "train"}, "split is declared, and such data has none"),
        ({"window": -1}, "window = -1"),
        ({"window": 9, "label_columns": ("kind",)}, "no window of 9 rows is full"),
    ],
)
def test_a_declaration_that_does_not_fit_is_named(tmp_path, keys, said):
    assert said in refused(written(tmp_path, IRIS), X3, **keys)


def test_broken_rows_are_left_out_counted_and_listed(tmp_path):
    content = b"a,b,c\n1,2,3\n1,2\n1,x,3\n\xff,2,3\n4,5,6\n"
    data = opened(written(tmp_path, content), X3, skip_broken=True)
    assert [sample.feed["x"][0, 0] for sample in data.samples()] == [1, 4]
    assert (data.count, data.skipped_count, len(data.skipped)) == (2, 3, 3)
    assert [part in said for part, said in zip(("line 3", "line 4", "line 5"), data.skipped, strict=True)] == [True] * 3
    list(data.samples())
    assert data.skipped_count == 3


def test_only_twenty_of_those_left_out_are_listed(tmp_path):
    data = opened(written(tmp_path, "a,b,c\n1,2,3\n" + "1,2,x\n" * 30), X3, skip_broken=True)
    list(data.samples())
    assert (data.skipped_count, len(data.skipped)) == (30, 20)


def test_windows_are_of_one_group_and_labelled_by_their_last_row(tmp_path):
    series = TensorFacts(name="x", dtype="float32", shape=("N", 2, 2))
    rows = [("p", 0), ("q", 10), ("p", 1), ("p", 2), ("q", 11), ("p", 3)]
    content = "who,u,v,y\n" + "".join(f"{who},{number},{-number},{number}\n" for who, number in rows)
    keys = {"label_columns": ("y",), "inputs": {"x": ("u", "v")}, "group": "who"}
    data = opened(written(tmp_path, content), series, window=2, step=2, **keys)
    (batch,) = data.batches(9)
    assert batch.feed["x"].tolist() == [[[0, 0], [1, -1]], [[10, -10], [11, -11]], [[2, -2], [3, -3]]]
    assert batch.labels.tolist() == [1, 11, 3] and data.task == "classification"
    first = TensorFacts(name="x", dtype="float32", shape=(1, 2, 3))
    sample = next(opened(written(tmp_path, content), first, window=3, **keys).samples())
    assert sample.feed["x"].tolist() == [[[0, 1, 2], [0, -1, -2]]]


def test_no_window_reaches_over_a_row_that_is_missing(tmp_path):
    series = TensorFacts(name="x", dtype="float32", shape=("N", 2, 1))
    path = written(tmp_path, "x\n1\n2\nbroken\n3\n4\n")
    data = opened(path, series, window=2, skip_broken=True)
    assert [sample.feed["x"].ravel().tolist() for sample in data.samples()] == [[1, 2], [3, 4]]


def test_a_fixed_batch_is_filled(tmp_path):
    four = TensorFacts(name="x", dtype="float32", shape=(2, 3))
    content = "a,b,c\n" + "1,2,3\n" * 4
    data = opened(written(tmp_path, content), four)
    assert data.count == 2 and [sample.size for sample in data.samples()] == [2, 2]
    assert "takes exactly 2" in refused(written(tmp_path, content + "1,2,3\n"), four)


def test_parquet_gives_what_csv_gives(tmp_path):
    table = pa.table({"a": [1, 4], "b": [2.0, 5.0], "c": [3, 6], "kind": ["cat", "dog"], "left": [None, None]})
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=1)
    keys = {"label_columns": ("kind",), "inputs": {"x": ("a", "b", "c")}}
    (batch,) = opened(tmp_path / "data.parquet", X3, **keys).batches(9)
    assert batch.feed["x"].tolist() == [[1, 2, 3], [4, 5, 6]] and batch.labels.tolist() == [0, 1]
    assert "row 1, column 'left': the value is missing" in refused(
        tmp_path / "data.parquet", X3, inputs={"x": ("a", "b", "left")}
    )


def test_a_list_in_a_cell_is_the_whole_input(tmp_path):
    pq.write_table(pa.table({"x": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]}), tmp_path / "data.parquet")
    (batch,) = opened(tmp_path / "data.parquet", X3).batches(9)
    assert batch.feed["x"].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    for content in (b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", IRIS.encode()):
        assert "cannot be read as Parquet" in refused(written(tmp_path, content, "data.parquet"), X3)


def test_a_cut_parquet_file_is_refused(tmp_path):
    pq.write_table(pa.table({name: list(range(5000)) for name in "abc"}), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    damaged = whole[:200] + b"\xff" * 400 + whole[600:]
    assert "cannot be read as Parquet" in refused(written(tmp_path, damaged, "data.parquet"), X3)


def test_the_hash_is_of_bytes_and_of_what_is_done_with_them(tmp_path):
    first = opened(written(tmp_path, IRIS), X3, label_columns=("kind",))
    moved = opened(written(tmp_path, IRIS, "moved.csv"), X3, label_columns=("kind",))
    scaled = opened(
        written(tmp_path, IRIS), X3, label_columns=("kind",), preprocessing={"mean": {"a": 1.0}, "std": {"a": 2.0}}
    )
    changed = opened(written(tmp_path, IRIS.replace("1", "2"), "other.csv"), X3, label_columns=("kind",))
    assert first.sha256 == moved.sha256
    assert len({first.sha256, scaled.sha256, changed.sha256}) == 3


@given(st.text(max_size=120), st.booleans())
def test_any_table_is_samples_or_an_error(tmp_path_factory, text, skip):
    path = written(tmp_path_factory.mktemp("table"), ("x,y\n" + text).encode(errors="surrogatepass"))
    one = TensorFacts(name="x", dtype="float32", shape=("N",))
    try:
        data = opened(path, one, label_columns=("y",), skip_broken=skip)
        assert sum(sample.size for sample in data.samples()) == data.count
    except EdgedeployError as error:
        assert str(path) in str(error)
