"""Recordings as samples: folders of classes, manifests with classes, transcripts and spans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sounds import save_sound, tone

from edgedeploy.datasets.base import Dataset
from edgedeploy.datasets.reader import find_reader, recognized
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError
from edgedeploy.values.data import DataSource
from edgedeploy.values.model import TensorFacts

SOUND = TensorFacts(name="audio", dtype="float32", shape=("N", "T"))
SECOND: dict[str, Any] = {"duration_s": 0.1}


def opened(path: Path, *inputs: TensorFacts, **keys: Any) -> Dataset:
    source = DataSource(path=str(path), **keys)
    found = recognized(path, source)
    assert found is not None and found[1]
    return found[0].open(source, path, inputs or (SOUND,))


def refused(path: Path, *inputs: TensorFacts, **keys: Any) -> str:
    with pytest.raises((DatasetError, InvalidFileError)) as caught:
        list(opened(path, *inputs, **keys).samples())
    return str(caught.value)


def manifest(folder: Path, *rows: dict[str, Any], name: str = "list.jsonl") -> Path:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


@pytest.fixture
def words(tmp_path):
    save_sound(tmp_path / "words/yes/a.wav", tone(0.1))
    save_sound(tmp_path / "words/yes/b.flac", tone(0.2))
    save_sound(tmp_path / "words/no/c.wav", tone(0.05, 8000), 8000)
    (tmp_path / "words/no/._c.wav").write_bytes(b"of macOS")
    (tmp_path / "words/no/notes.txt").write_text("not a sound")
    return tmp_path / "words"


def test_a_folder_for_each_class(words):
    data = opened(words, preprocessing=SECOND)
    assert (data.count, data.task, data.class_names) == (3, "classification", ("no", "yes"))
    (batch,) = data.batches(9)
    assert batch.feed["audio"].shape == (3, 1600) and sorted(batch.labels.tolist()) == [0, 1, 1]
    assert data.class_counts() == [1, 2] and data.preprocessing.duration_s == 0.1
    chosen = list(data.chosen([0, 2]))
    np.testing.assert_array_equal([sample.labels[0] for sample in chosen], batch.labels[[0, 2]])
    np.testing.assert_array_equal(chosen[1].feed["audio"][0], batch.feed["audio"][2])
    assert "0 'no', 1 'yes'" in data.notes[0] and "1 of 3 recordings have 8,000 Hz" in data.notes[1]
    assert data.notes[2:] == ("1 of 3 recordings are longer than 0.1 s, and are cut there",)
    assert "has 8,000 Hz" in refused(words, preprocessing={"resample": False})


def test_folders_whose_names_are_numbers_are_numbered_like_others(tmp_path):
    for name in ("01", "10", "2"):
        save_sound(tmp_path / f"digits/{name}/a.wav", tone(0.1))
    data = opened(tmp_path / "digits")
    assert data.class_names == ("01", "10", "2")
    assert {Path(sample.where).parent.name: sample.labels[0] for sample in data.samples()} == {"01": 0, "10": 1, "2": 2}


def test_the_first_recordings_are_of_several_classes_and_always_the_same(tmp_path):
    for name in ("a", "b"):
        for number in range(20):
            save_sound(tmp_path / f"data/train/{name}/{number}.wav", tone(0.001))
    (tmp_path / "data/val").mkdir()
    assert "comes in parts: train, val" in refused(tmp_path / "data")
    orders = [[int(each.labels[0]) for each in opened(tmp_path / "data", split="train").samples()] for _ in range(2)]
    assert orders[0] == orders[1] and set(orders[0][:8]) == {0, 1}


def test_recordings_of_other_lengths_are_not_joined(words):
    assert [batch.size for batch in opened(words).batches(9)] == [1, 1, 1]


def test_folders_that_are_no_class_are_left_out_and_said(words):
    data = opened(words, class_names=("yes",), preprocessing=SECOND)
    assert data.count == 2 and data.notes[-1] == "folders that class_names does not name are left out: no"
    assert "no folder for the class 'maybe'" in refused(words, class_names=("yes", "maybe"))


def test_what_is_no_class_is_said(words):
    (words / "empty").mkdir()
    save_sound(words / "beside.wav", tone(0.1))
    data = opened(words, preprocessing=SECOND)
    assert data.count == 3 and "1 recordings beside the folders" in data.notes[-1]


def test_recordings_without_labels(tmp_path):
    save_sound(tmp_path / "a.wav", tone(0.1))
    (sample,) = opened(tmp_path).samples()
    assert sample.labels is None and sample.feed["audio"].shape == (1, 1600)


def test_transcripts(tmp_path):
    save_sound(tmp_path / "clips/a.wav", tone(0.1))
    save_sound(tmp_path / "clips/b.wav", tone(0.1))
    path = tmp_path / "list.csv"
    path.write_text('file,text\nclips/a.wav,"hello, world"\nclips/b.wav,\n')
    data = opened(path)
    (batch,) = data.batches(2)
    assert batch.labels == ("hello, world", "") and data.task == "speech"


def test_spans_are_seconds_of_what_the_model_is_given(tmp_path):
    save_sound(tmp_path / "a.wav", tone(1.0))
    path = manifest(
        tmp_path,
        {
            "file": "a.wav",
            "spans": [[0.0, 0.1, "dog"], [0.4, 0.9, "cat"], {"begin_s": 0.95, "end_s": 1, "label": "dog"}],
        }
        | {"begin_s": 0.2, "end_s": 0.8},
    )
    data = opened(path, preprocessing={"duration_s": 0.5})
    (sample,) = data.samples()
    (spans,) = sample.labels
    np.testing.assert_allclose(spans.spans_s, [[0.2, 0.5]])
    assert spans.classes.tolist() == [0] and sample.feed["audio"].shape == (1, 8000)
    csv = tmp_path / "list.csv"
    csv.write_text('file,spans\na.wav,"[[0.5, 0.75, ""dog""]]"\na.wav,\n')
    first, second = opened(csv).samples()
    assert first.labels[0].spans_s.tolist() == [[0.5, 0.75]] and second.labels[0].classes.size == 0


def test_manifests_as_nemo_has_them(tmp_path):
    save_sound(tmp_path / "a.wav", tone(1.0))
    rows = [{"audio_filepath": "a.wav", "offset": 0.25, "duration": 0.5, "text": "a"}]
    (sample,) = opened(manifest(tmp_path, *rows)).samples()
    assert sample.feed["audio"].shape == (1, 8000)


def test_a_manifest_beside_the_folder_of_its_files(tmp_path):
    save_sound(tmp_path / "clips/a.wav", tone(0.1))
    path = manifest(tmp_path, {"file": "a.wav", "label": 3})
    source = DataSource(path=str(tmp_path / "clips"), labels=str(path), format="audio-manifest")
    data = find_reader("audio-manifest").open(source, tmp_path / "clips", (SOUND,))
    assert [sample.labels.tolist() for sample in data.samples()] == [[3]]


def test_features_fill_the_models_axes(tmp_path):
    save_sound(tmp_path / "a.wav", tone(1.0))
    for shape, preset in (
        ((1, 49, 10, 1), "mlperf-tiny-kws"),
        ((1, 1, 80, 3000), "whisper"),
        ((1, 80, "T"), "whisper"),
    ):
        facts = TensorFacts(name="x", dtype="float32", shape=shape)
        (sample,) = opened(tmp_path, facts, preprocessing={"preset": preset}).samples()
        assert sample.feed["x"].shape == (*shape[:-1], sample.feed["x"].shape[-1])
    said = refused(
        tmp_path, TensorFacts(name="x", dtype="float32", shape=(1, 80, 100)), preprocessing={"preset": "whisper"}
    )
    assert "have shape (80, 3000)" in said and "expected (80, 100)" in said


def test_quantized_inputs_get_the_nearest_integers(tmp_path):
    """As the int8 model of MLPerf Tiny has it."""
    save_sound(tmp_path / "a.wav", tone(1.0))
    whole = TensorFacts(name="x", dtype="float32", shape=(1, 49, 10, 1))
    quantized = TensorFacts(name="x", dtype="int8", shape=(1, 49, 10, 1), scale=0.6, zero_point=80)
    (real,), (steps,) = (
        opened(tmp_path, facts, preprocessing={"preset": "mlperf-tiny-kws"}).samples() for facts in (whole, quantized)
    )
    assert steps.feed["x"].dtype == np.int8
    back = (steps.feed["x"].astype(np.float64) - 80) * 0.6
    inside = np.abs(real.feed["x"]) < (127 - 80) * 0.6
    np.testing.assert_allclose(back[inside], real.feed["x"][inside], atol=0.3001)


def test_lengths_rates_and_whole_numbers(tmp_path):
    save_sound(tmp_path / "a.wav", tone(0.1))
    length = TensorFacts(name="length", dtype="int64", shape=("N",))
    rate = TensorFacts(name="sr", dtype="int64", shape=())
    whole = TensorFacts(name="audio", dtype="int16", shape=("N", "T"))
    (sample,) = opened(tmp_path, whole, length, rate).batches(4)
    assert sample.feed["length"].tolist() == [1600] and sample.feed["sr"].tolist() == 16_000
    assert sample.feed["audio"].dtype == np.int16 and abs(sample.feed["audio"].max()) > 16_000
    state = TensorFacts(name="state", dtype="float32", shape=(2, 1, 64))
    assert "not those of a model of sound" in refused(tmp_path, SOUND, state)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"file": "none.wav", "label": 0}, "line 2: 'none.wav' is no file"),
        ({"file": "../../a.wav", "label": 0}, "leads out of the folder"),
        ({"file": "broken.wav", "label": 0}, "cannot be read as sound"),
        ({"file": "a.wav"}, "line 2 has no key 'label'"),
        ({"file": "a.wav", "label": None}, "line 2: the label is missing"),
        ({"file": "a.wav", "label": [1]}, "the label is a list"),
        ({"label": 0}, "line 2 names no file"),
        ({"file": 7, "label": 0}, "line 2 names no file"),
        ({"file": "a.wav", "label": "long" * 300}, "a text of 1,200 characters"),
        ({"file": "a.wav", "label": 0, "begin_s": 3}, "there is no part from 3 s"),
        ({"file": "a.wav", "label": 0, "begin_s": 0.1, "end_s": 0.05}, "before it begins"),
        ({"file": "a.wav", "label": 0, "begin_s": "soon"}, "expected seconds"),
    ],
)
def test_rows_that_cannot_be_read_are_named_or_left_out(tmp_path, row, said):
    save_sound(tmp_path / "data/a.wav", tone(0.1))
    save_sound(tmp_path / "a.wav", tone(0.1))
    (tmp_path / "data/broken.wav").write_bytes(b"RIFF no")
    path = manifest(tmp_path / "data", {"file": "a.wav", "label": 1}, row, {"file": "a.wav", "label": 0})
    assert said in refused(path, class_names=("x", "y"))
    data = opened(path, skip_broken=True)
    assert [sample.labels.tolist() for sample in data.samples()] == [[1], [0]]
    assert data.skipped_count == 1 and said.removeprefix("line 2: ") in data.skipped[0]


@pytest.mark.parametrize("spans", [3, [[0, 1]], [[1, 0, "a"]], [[0, float("nan"), "a"]], [["0", "1", "a"]], "[[0, 1"])
def test_spans_that_are_none_are_refused(tmp_path, spans):
    save_sound(tmp_path / "a.wav", tone(0.1))
    assert "line 1" in refused(manifest(tmp_path, {"file": "a.wav", "spans": spans}))


def test_what_was_left_out_is_known_as_it_is_read(tmp_path):
    save_sound(tmp_path / "a.wav", tone(0.1))
    (tmp_path / "broken.wav").write_bytes(b"RIFF no")
    data = opened(manifest(tmp_path, *({"file": name} for name in ("a.wav", "broken.wav", "a.wav"))), skip_broken=True)
    samples = data.samples()
    next(samples), next(samples)
    assert data.skipped_count == 1 and "broken.wav" in data.skipped[0]


def test_a_recording_of_many_parts_is_hashed_once(tmp_path, monkeypatch):
    save_sound(tmp_path / "a.wav", tone(1.0))
    data = opened(manifest(tmp_path, *({"file": "a.wav", "begin_s": part / 100} for part in range(90))))
    read = []
    monkeypatch.setattr("edgedeploy.datasets.sound.recordings.sha256_file", lambda path: read.append(path) or path.name)
    assert data.sha256 and len(read) == 1


def test_two_kinds_of_labels_are_chosen_from(tmp_path):
    save_sound(tmp_path / "a.wav", tone(0.1))
    path = manifest(tmp_path, {"file": "a.wav", "label": 4, "text": "four"})
    assert "label_columns" in refused(path)
    assert next(opened(path, label_columns=("text",)).samples()).labels == ("four",)
    assert next(opened(path, task="classification").samples()).labels.tolist() == [4]


def test_the_hash_is_of_all_bytes_that_count(tmp_path):
    save_sound(tmp_path / "a.wav", tone(0.1))
    path = manifest(tmp_path, {"file": "a.wav", "label": 4})
    first = opened(path).sha256
    assert first == opened(path).sha256
    other = opened(path, preprocessing={"duration_s": 0.5}).sha256
    save_sound(tmp_path / "a.wav", tone(0.1, hz=441))
    assert len({first, other, opened(path).sha256}) == 3


@given(
    st.dictionaries(
        st.sampled_from(["file", "label", "begin_s", "offset", "duration"]), st.none() | st.text(max_size=5)
    )
)
def test_any_row_is_a_sample_or_an_error(tmp_path_factory, row):
    folder = tmp_path_factory.mktemp("rows")
    save_sound(folder / "a.wav", tone(0.01))
    path = manifest(folder, {"file": "a.wav", "label": "a"}, row)
    try:
        list(opened(path).samples())
    except EdgedeployError as error:
        assert str(folder) in str(error)
