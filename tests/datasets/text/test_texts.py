"""Texts as tokens: encoders, classifiers, embedders and decoders, and files that were made to do harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tokenizers import save_tokenizer
from tokenizers import Tokenizer

from edgedeploy.datasets.base import Dataset
from edgedeploy.datasets.reader import recognized
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts

NAMES = ("input_ids", "attention_mask", "token_type_ids")


def encoder(*shape: int | str) -> list[TensorFacts]:
    return [TensorFacts(name=name, dtype="int64", shape=shape or ("batch", "sequence")) for name in NAMES]


def tokenizer(folder: Path, *, special: bool = True) -> str:
    return save_tokenizer(folder / "tokenizer.json", special=special)


def written(folder: Path, *rows: Any, name: str = "data.jsonl") -> Path:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


def opened(path: Path, inputs: list[TensorFacts], special: bool = True, **keys: Any) -> Dataset:
    preprocessing = keys.setdefault("preprocessing", {})
    if "tokenizer" not in preprocessing:
        preprocessing["tokenizer"] = tokenizer(path.parent, special=special)
    source = DataSource(path=str(path), **keys)
    found = recognized(path, source)
    assert found is not None and found[0].name == "text-jsonl"
    return found[0].open(source, path, inputs)


def refused(path: Path, inputs: list[TensorFacts], **keys: Any) -> str:
    with pytest.raises((DatasetError, InvalidFileError)) as caught:
        list(opened(path, inputs, **keys).samples())
    return str(caught.value)


REVIEWS = ({"text": "a good film", "label": "pos"}, {"text": "bad", "label": "neg"})


def test_a_classifier_takes_what_its_inputs_ask_for(tmp_path):
    data = opened(written(tmp_path, *REVIEWS), encoder())
    first, second = data.samples()
    assert first.feed["input_ids"].tolist() == [[2, 4, 5, 7, 3]] and first.labels.tolist() == [1]
    assert second.feed["attention_mask"].tolist() == [[1, 1, 1]] and second.labels.tolist() == [0]
    assert (data.count, data.task) == (2, "text") and "0 'neg', 1 'pos'" in data.notes[0]
    assert [batch.size for batch in data.batches(9)] == [1, 1]  # of other lengths


@pytest.mark.parametrize("keys", [{"inputs": encoder(1, 4)}, {"inputs": encoder(), "preprocessing": {"length": 4}}])
def test_texts_are_cut_and_filled_to_one_length(tmp_path, keys):
    data = opened(written(tmp_path, *REVIEWS), **keys)
    first, second = data.samples()
    assert first.feed["input_ids"].tolist() == [[2, 4, 5, 3]]
    assert data.notes[-1].startswith("1 of the first 2 texts have more tokens")
    assert second.feed["input_ids"].tolist() == [[2, 6, 3, 0]]
    assert second.feed["attention_mask"].tolist() == [[1, 1, 1, 0]]
    assert "expected 1 to" in refused(written(tmp_path, *REVIEWS), encoder(), preprocessing={"length": -1})


def test_pairs_of_texts_have_types(tmp_path):
    data = opened(written(tmp_path, {"text": "a film", "pair": "good", "label": 0.5}), encoder())
    (sample,) = data.samples()
    assert sample.feed["input_ids"].tolist() == [[2, 4, 7, 3, 5, 3]]
    assert sample.feed["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1]]
    assert sample.labels.tolist() == [0.5]


def test_queries_and_what_answers_them_have_one_number(tmp_path):
    rows = ({"query": "good", "positive": "a film"}, {"query": "bad", "positive": "film"})
    data = opened(written(tmp_path, *rows), encoder())
    assert (data.count, data.task) == (4, "embedding")
    assert [sample.labels.tolist() for sample in data.samples()] == [[0], [0], [1], [1]]


def test_a_decoder_is_asked_for_the_tokens_that_follow(tmp_path):
    inputs = [
        TensorFacts(name="input_ids", dtype="int32", shape=("batch", "sequence")),
        TensorFacts(name="attention_mask", dtype="float32", shape=("batch", "sequence")),
        TensorFacts(name="position_ids", dtype="int64", shape=("batch", "sequence")),
        TensorFacts(name="past_key_values.0.key", dtype="float32", shape=("batch", 2, "past_sequence_length", 8)),
    ]
    path = written(tmp_path, {"text": "a good bad film"}, {"text": "good film"})
    keys = {"task": "language-model", "special": False}
    (sample, _) = opened(path, inputs, **keys).samples()
    assert sample.feed["input_ids"].tolist() == [[0, 1, 2, 3]] and sample.labels.tolist() == [[1, 2, 3, -100]]
    assert sample.feed["position_ids"].tolist() == [[0, 1, 2, 3]]
    assert sample.feed["past_key_values.0.key"].shape == (1, 2, 0, 8)
    filled = opened(path, inputs, preprocessing={"length": 3, "padding_id": 0}, **keys)
    (batch,) = filled.batches(2)
    assert batch.labels.tolist() == [[1, 2, -100], [3, -100, -100]]
    assert batch.feed["attention_mask"].dtype == np.float32 and batch.feed["attention_mask"].tolist()[1] == [1, 1, 0]
    assert "state padding_id" in refused(path, inputs, preprocessing={"length": 3}, **keys)
    assert "nothing to predict" in refused(written(tmp_path, {"text": "a"}), inputs, **keys)


def test_a_tokenizer_that_fills_on_the_left_still_does(tmp_path):
    path = tokenizer(tmp_path, special=False)
    made = Tokenizer.from_file(path)
    made.enable_padding(direction="left", pad_id=4, pad_token="[UNK]")
    made.save(path)
    inputs = encoder()[:2]
    data = opened(
        written(tmp_path, {"text": "a good"}),
        inputs,
        task="language-model",
        preprocessing={"tokenizer": path, "length": 4},
    )
    (sample,) = data.samples()
    assert sample.feed["input_ids"].tolist() == [[4, 4, 0, 1]] and sample.labels.tolist() == [[-100, -100, 1, -100]]


def test_a_model_that_takes_text_needs_no_tokenizer(tmp_path):
    source = DataSource(path=str(written(tmp_path, *REVIEWS)))
    reader, _ = recognized(Path(source.path), source)
    (batch,) = reader.open(source, Path(source.path), [TensorFacts(name="x", dtype="str", shape=("N", 1))]).batches(4)
    assert batch.feed["x"].tolist() == [["a good film"], ["bad"]] and batch.labels.tolist() == [1, 0]
    with pytest.raises(DatasetError, match="no tokenizer is stated"):
        reader.open(source, Path(source.path), encoder())


def test_texts_in_csv(tmp_path):
    (tmp_path / "data.csv").write_text('text,stars\n"a good, film",5\nbad,1\n')
    data = opened(tmp_path / "data.csv", encoder(), label_columns=("stars",))
    assert [sample.labels.tolist() for sample in data.samples()] == [[5], [1]]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"label": "pos"}, "line 2: the key 'text' is missing"),
        ({"text": 7, "label": "pos"}, "line 2: the key 'text' is 7"),
        ({"text": "a", "pair": 1, "label": "pos"}, "line 2: the key 'pair' is 1"),
        ({"text": "a"}, "line 2 has no key 'label'"),
        ({"text": "a", "label": None}, "line 2: the label is missing"),
        ({"text": "a", "label": "meh"}, "line 2: there is no class 'meh'"),
        ({"text": "a" * (1 << 20) + "b", "label": "pos"}, "a text of 1,048,577 characters"),
        ("a", "line 2: no JSON object"),
    ],
)
def test_rows_that_cannot_be_read_are_named_or_left_out(tmp_path, row, said):
    path = written(tmp_path, REVIEWS[0], row, REVIEWS[1])
    keys = {"class_names": ("neg", "pos")}
    assert said in refused(path, encoder(), **keys)
    data = opened(path, encoder(), skip_broken=True, **keys)
    assert [sample.labels.tolist() for sample in data.samples()] == [[1], [0]]
    assert data.skipped_count == 1 and "line 2" in data.skipped[0]


def test_bytes_that_are_no_text_and_a_line_without_end_are_left_out(tmp_path):
    path = written(tmp_path, REVIEWS[0])
    lines = [path.read_bytes(), b'{"text": "\xff"}\n', b'{"text": "' + b"a" * (17 << 20) + b'"}\n', path.read_bytes()]
    path.write_bytes(b"".join(lines))
    assert "line 2: not UTF-8" in refused(path, encoder())
    data = opened(path, encoder(), skip_broken=True)
    assert [sample.where[-6:] for sample in data.samples()] == ["line 1", "line 4"]
    assert data.skipped_count == 2 and "longer than" in data.skipped[1]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"model": {"type": "BPE"}}', b"[" * 9999])
def test_a_tokenizer_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "own.json").write_bytes(content)
    keys = {"preprocessing": {"tokenizer": str(tmp_path / "own.json")}}
    assert "own.json is no tokenizer.json" in refused(written(tmp_path, *REVIEWS), encoder(), **keys)


def test_a_folder_with_a_tokenizer_is_one(tmp_path):
    tokenizer(tmp_path)
    assert opened(written(tmp_path, *REVIEWS), encoder(), preprocessing={"tokenizer": str(tmp_path)}).count == 2
    assert "does not exist" in refused(
        written(tmp_path, *REVIEWS), encoder(), preprocessing={"tokenizer": str(tmp_path / "none.json")}
    )


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([TensorFacts(name="x", dtype="float32", shape=("N", 3))], "not those of a model of text"),
        ([*encoder(), TensorFacts(name="image", dtype="float32", shape=("N", 3))], "not those of a model of text"),
        ([TensorFacts(name="attention_mask", dtype="int64", shape=("N", 3))], "not those of a model of text"),
    ],
)
def test_a_model_of_something_else_is_refused(tmp_path, inputs, said):
    assert said in refused(written(tmp_path, *REVIEWS), inputs)


def test_keys_that_are_none_of_texts_are_refused(tmp_path):
    assert "no key 'stars'" in refused(written(tmp_path, *REVIEWS), encoder(), label_columns=("stars",))
    assert "no key 'lenght'" in refused(written(tmp_path, *REVIEWS), encoder(), preprocessing={"lenght": 4})


def test_the_hash_is_of_rows_and_tokenizer(tmp_path):
    path = written(tmp_path, *REVIEWS)
    first = opened(path, encoder()).sha256
    (tmp_path / "moved").mkdir()
    moved = opened(written(tmp_path / "moved", *REVIEWS), encoder()).sha256
    other = opened(path, encoder(), special=False).sha256
    assert first == moved != other


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["text", "pair", "label"]), st.none() | st.text() | st.integers()), max_size=3
    )
)
def test_any_rows_are_samples_or_an_error(tmp_path_factory, rows):
    path = written(tmp_path_factory.mktemp("texts"), REVIEWS[0], *rows)
    keys = {"preprocessing": {"tokenizer": tokenizer(path.parent)}}
    for skip in (True, False):
        try:
            data = opened(path, encoder(), skip_broken=skip, **keys)
            assert sum(sample.size for sample in data.samples()) == len(rows) + 1 - data.skipped_count
        except EdgedeployError as error:
            assert str(path) in str(error)
