from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import DatasetError, InvalidFileError, UnknownNameError
from edgedeploy.values.model import TensorFacts

X = TensorFacts(name="x", dtype="float32", shape=("N", 3))
STATE = TensorFacts(name="state", dtype="float32", shape=(2, 1, 4))
RATE = TensorFacts(name="rate", dtype="int64", shape=())


def save(path: Path, **arrays: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return str(path)


def floats(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def refused(spec: str, *inputs: TensorFacts) -> str:
    """The message with which reading the dataset to its end is refused."""
    with pytest.raises(DatasetError) as caught:
        list(open_dataset(spec, inputs).samples())
    return str(caught.value)


# -- one file


@pytest.mark.slow
@given(count=st.integers(1, 20), size=st.integers(1, 25))
def test_an_array_of_the_inputs_rank_is_cut_along_its_first_axis(tmp_path_factory, count, size):
    spec = save(tmp_path_factory.mktemp("data") / "a.npz", x=floats(count, 3), labels=np.arange(count))
    dataset = open_dataset(spec, [X])
    assert (dataset.count, dataset.has_labels, dataset.spec) == (count, True, spec)
    samples = list(dataset.samples())
    assert [sample.size for sample in samples] == [1] * count
    assert samples[0].feed["x"].shape == (1, 3)
    batches = list(dataset.batches(size))
    assert [batch.size for batch in batches[:-1]] == [size] * (len(batches) - 1)
    for parts in (samples, batches):
        np.testing.assert_array_equal(np.concatenate([part.feed["x"] for part in parts]), floats(count, 3))
        np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), np.arange(count))


def test_slices_of_one_rank_more_are_whole_inputs_and_are_never_joined(tmp_path):
    spec = save(
        tmp_path / "a.npz", x=floats(5, 3), state=floats(5, 2, 1, 4), rate=np.full(5, 16000), labels=np.arange(5)
    )
    dataset = open_dataset(spec, [X, STATE, RATE])
    for parts in (list(dataset.samples()), list(dataset.batches(4))):
        assert [part.feed["x"].shape for part in parts] == [(1, 3)] * 5
        assert [part.feed["state"].shape for part in parts] == [(2, 1, 4)] * 5
        assert [part.feed["rate"].shape for part in parts] == [()] * 5
        assert [part.labels.tolist() for part in parts] == [[0], [1], [2], [3], [4]]


def test_labels_of_a_whole_input_may_be_several(tmp_path):
    spec = save(tmp_path / "a.npz", x=floats(4, 7, 3), labels=np.arange(28).reshape(4, 7))
    samples = list(open_dataset(spec, [X]).samples())
    assert [(sample.size, sample.labels.shape) for sample in samples] == [(7, (7,))] * 4


def test_a_batch_that_is_fixed_in_the_model_is_kept(tmp_path):
    fixed = TensorFacts(name="x", dtype="float32", shape=(4, 3))
    dataset = open_dataset(save(tmp_path / "a.npz", x=floats(8, 3), labels=np.arange(8)), [fixed])
    assert dataset.count == 2
    assert [(s.feed["x"].shape, s.size) for s in dataset.batches(32)] == [((4, 3), 4)] * 2
    assert "exactly 4" in refused(save(tmp_path / "b.npz", x=floats(9, 3)), fixed)


def test_numbers_are_widened_within_their_kind_and_in_byte_order(tmp_path):
    spec = save(tmp_path / "a.npz", x=floats(2, 3).astype(">f2"), rate=np.array([1, 2], np.int16))
    sample = next(open_dataset(spec, [X, RATE]).samples())
    assert (sample.feed["x"].dtype, sample.feed["rate"].dtype) == (np.dtype("float32"), np.dtype("int64"))
    assert sample.feed["x"].dtype.isnative
    assert sample.labels is None


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": floats(4, 3)}, ["no array 'x'", "rename 'y' to 'x'"]),
        ({"labels": np.arange(4)}, ["no array 'x'"]),
        ({"x": floats(4, 3), "label": np.arange(4)}, ["'label'", "no input of the model", "'labels'"]),
        ({"x": floats(4, 3).astype(np.float64)}, ["'x'", "float64", "expected float32", "astype"]),
        ({"x": floats(4, 3).astype(np.uint8)}, ["'x'", "uint8", "expected float32"]),
        ({"x": np.full((4, 3), "a")}, ["'x'", "expected float32"]),
        ({"x": floats(4, 5)}, ["'x'", "(4, 5)", "expected (N, 3)"]),
        ({"x": floats(4)}, ["'x'", "(4,)", "expected samples along the first axis"]),
        ({"x": floats(4, 1, 1, 3)}, ["'x'", "(4, 1, 1, 3)"]),
        ({"x": floats(4, 3), "labels": np.arange(5)}, ["differ in length", "'x' has 4", "'labels' has 5"]),
        ({"x": floats(4, 3), "labels": np.array(1)}, ["'labels' is a single number"]),
        ({"x": floats(0, 3)}, ["no samples"]),
        ({"x": np.array([[None, 1, 2]], dtype=object)}, ["'x'", "Python objects"]),
    ],
)
def test_data_that_does_not_fit_is_refused_with_name_expected_and_found(tmp_path, arrays, words):
    message = refused(save(tmp_path / "a.npz", **arrays), X)
    assert [word for word in words if word not in message] == []


def test_more_samples_than_anybody_runs_are_refused(tmp_path):
    """2^28 of them fit into 260 kB of a zip archive; here 10^7 and one."""
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros((10_000_001, 1), np.int8))
    words = refused(str(path), TensorFacts(name="x", dtype="int8", shape=("N", 1)))
    assert "10,000,001 samples" in words and "drawn at random" in words


def test_an_input_called_labels_is_an_input(tmp_path):
    spec = save(tmp_path / "a.npz", labels=floats(2, 3))
    dataset = open_dataset(spec, [TensorFacts(name="labels", dtype="float32", shape=("N", 3))])
    assert not dataset.has_labels
    assert next(dataset.samples()).labels is None


def test_fixed_first_dimensions_that_differ_ask_for_whole_inputs(tmp_path):
    inputs = [STATE, TensorFacts(name="x", dtype="float32", shape=(1, 3))]
    with pytest.raises(DatasetError, match="cut in step") as caught:
        open_dataset(save(tmp_path / "a.npz", x=floats(4, 3), state=floats(4, 1, 4)), inputs)
    assert "one axis more" in str(caught.value)


def test_types_that_numpy_lacks_are_named(tmp_path):
    facts = TensorFacts(name="x", dtype="bfloat16", shape=("N", 3))
    assert "bfloat16" in refused(save(tmp_path / "a.npz", x=floats(4, 3)), facts)


def test_a_missing_file_is_not_taken_for_a_callable(tmp_path):
    with pytest.raises(InvalidFileError, match="does not exist"):
        open_dataset(str(tmp_path / "evaluation.npz"), [X])


def test_a_model_without_inputs_takes_no_data(tmp_path):
    with pytest.raises(DatasetError, match="no inputs"):
        open_dataset(save(tmp_path / "a.npz", x=floats(1, 3)), [])


def test_the_hash_is_of_the_bytes(tmp_path):
    import hashlib

    spec = save(tmp_path / "a.npz", x=floats(4, 3))
    assert open_dataset(spec, [X]).sha256 == hashlib.sha256(Path(spec).read_bytes()).hexdigest()


def test_a_file_larger_than_its_samples_is_streamed_in_bounded_memory(tmp_path):
    spec = save(tmp_path / "a.npz", x=np.zeros((4000, 3, 1000), np.float32))  # 48 MB
    facts = TensorFacts(name="x", dtype="float32", shape=("N", 3, 1000))
    tracemalloc.start()
    try:
        dataset = open_dataset(spec, [facts])
        assert sum(sample.size for sample in dataset.batches(8)) == 4000
        assert len(dataset.sha256) == 64
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


# -- a folder


def test_a_folder_is_streamed_in_name_order(tmp_path):
    for number in (10, 2, 1):
        save(tmp_path / "data" / f"{number:02}.npz", x=floats(number, 3), labels=np.arange(number))
    (tmp_path / "data" / "README").write_text("not a feed")
    dataset = open_dataset(str(tmp_path / "data"), [X])
    assert (dataset.count, dataset.has_labels) == (3, True)
    assert [sample.size for sample in dataset.batches(32)] == [1, 2, 10]


def test_the_hash_of_a_folder_is_of_names_and_bytes(tmp_path):
    for folder, name in (("a", "0.npz"), ("b", "0.npz"), ("c", "1.npz")):
        save(tmp_path / folder / name, x=floats(1, 3))
    hashes = [open_dataset(str(tmp_path / folder), [X]).sha256 for folder in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_scalar_label_is_the_label_of_one_sample(tmp_path):
    save(tmp_path / "data" / "0.npz", x=floats(1, 3), labels=np.array(2))
    (sample,) = open_dataset(str(tmp_path / "data"), [X]).samples()
    assert (sample.labels.tolist(), sample.size) == ([2], 1)


def test_what_is_wrong_in_a_folder_is_said_with_the_file(tmp_path):
    assert "no .npz files" in refused(str(tmp_path), X)
    save(tmp_path / "a" / "0.npz", x=floats(1, 3))
    save(tmp_path / "a" / "1.npz", x=floats(1, 4))
    assert "1.npz: array 'x' has shape (1, 4)" in refused(str(tmp_path / "a"), X)
    save(tmp_path / "a" / "1.npz", x=floats(1, 3), labels=np.array([1]))
    assert "1.npz has labels, unlike" in refused(str(tmp_path / "a"), X)


# -- a callable


@pytest.fixture
def feeds(tmp_path, monkeypatch):
    """A module of the user's in the current folder; gives the dataset's name for a function of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(body: str) -> str:
        name = f"feeds_{abs(hash(body))}"
        (tmp_path / f"{name}.py").write_text(f"import numpy as np\n{body}")
        return f"{name}:samples"

    return write


X_FEED = "np.full((1, 3), i, np.float32)"


def test_a_callable_may_yield_dicts_dicts_with_labels_or_pairs(feeds):
    plain = open_dataset(feeds(f"def samples():\n for i in range(3): yield {{'x': {X_FEED}}}"), [X])
    inside = open_dataset(feeds(f"def samples():\n for i in range(3): yield {{'x': {X_FEED}, 'labels': i}}"), [X])
    pairs = open_dataset(feeds(f"def samples():\n for i in range(3): yield {{'x': {X_FEED}}}, [i]"), [X])
    assert (plain.count, plain.has_labels, inside.has_labels, pairs.has_labels) == (None, False, True, True)
    for dataset in (inside, pairs):
        assert [(s.feed["x"][0, 0], s.labels.tolist()) for s in dataset.samples()] == [(0, [0]), (1, [1]), (2, [2])]
    assert plain.sha256 != inside.sha256
    assert inside.sha256 == pairs.sha256


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def samples():\n yield 3", ["sample 0 is a int", "dict of arrays"]),
        (f"def samples():\n i = 0\n yield {{'y': {X_FEED}}}", ["sample 0", "no array 'x'"]),
        ("def samples():\n yield {'x': np.zeros((1, 3))}", ["sample 0", "float64", "expected float32"]),
        ("def samples():\n yield {'x': np.zeros(3, np.float32)}", ["sample 0", "(3,)", "expected (N, 3)"]),
        (f"def samples():\n i = 0\n yield {{'x': {X_FEED}}}\n raise OSError('gone')", ["failed at sample 1", "gone"]),
        ("def samples():\n return []", ["yielded no samples"]),
        ("def samples(folder): pass", ["failed at sample 0", "folder"]),
        (f"def samples():\n i = 0\n yield {{'x': {X_FEED}}}\n yield {{'x': {X_FEED}}}, 1", ["sample 1", "labels"]),
    ],
)
def test_what_a_callable_does_wrong_is_said_with_the_sample(feeds, body, words):
    message = refused(feeds(body), X)
    assert [word for word in words if word not in message] == []


def test_the_hash_of_labels_that_are_no_arrays_is_of_their_contents(feeds):
    """Objects in an array were hashed by where they lay in memory."""
    body = """from edgedeploy.values.labels import Detections
def objects(x):
    boxes = np.full((1, 4), x, float)
    return Detections(boxes=boxes, classes=np.zeros(1, np.int64))
def samples():
    yield {"x": np.zeros((2, 3), np.float32)}, [objects(1.0), objects(VALUE)]
    yield {"x": np.zeros((1, 3), np.float32), "labels": (objects(3.0),)}
    yield {"x": np.zeros((1, 3), np.float32)}, objects(3.0)
"""
    first = open_dataset(feeds(body.replace("VALUE", "2.0")), [X])
    assert [type(sample.labels) for sample in first.samples()] == [tuple] * 3
    assert [len(sample.labels) for sample in first.samples()] == [2, 1, 1]
    assert first.sha256 == open_dataset(feeds(body.replace("VALUE", "2.0")), [X]).sha256
    assert first.sha256 != open_dataset(feeds(body.replace("VALUE", "2.5")), [X]).sha256


def test_a_callable_that_cannot_be_imported_has_an_unknown_name(feeds):
    for spec in ("no_such_module:samples", feeds("def other(): pass"), feeds("1 / 0"), feeds("samples = 3")):
        with pytest.raises(UnknownNameError):
            open_dataset(spec, [X])
