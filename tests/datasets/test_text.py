"""Text in datasets, and other types of elements that a model is not given."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.datasets.synthetic import generated_samples
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.values.model import TensorFacts

CITY = TensorFacts(name="city", dtype="str", shape=("N", 1))
AGE = TensorFacts(name="age", dtype="float32", shape=("N", 1))
WHEN = TensorFacts(name="when", dtype="int64", shape=("N", 1))


def saved(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return str(path)


def refused(spec: str, *inputs: TensorFacts) -> str:
    with pytest.raises(DatasetError) as caught:
        list(open_dataset(spec, inputs).samples())
    return str(caught.value)


def test_one_column_for_each_input(tmp_path: Path) -> None:
    cities = np.array([["Bern"], ["São Paulo"], [""], ["a\0b"], ["🏙"]])
    spec = saved(tmp_path / "a.npz", city=cities, age=np.ones((5, 1), np.float32), labels=np.arange(5))
    samples = list(open_dataset(spec, [CITY, AGE]).samples())
    assert [sample.feed["city"].tolist() for sample in samples] == [[[city]] for city in cities[:, 0].tolist()]
    assert all(sample.feed["city"].dtype == object for sample in samples)
    (batch,) = open_dataset(spec, [CITY, AGE]).batches(8)
    assert batch.feed["city"].tolist() == cities.tolist()


def test_whole_feeds_in_a_folder_may_be_single_texts_or_none(tmp_path: Path) -> None:
    inputs = [TensorFacts(name="one", dtype="str", shape=()), TensorFacts(name="rows", dtype="str", shape=("R", 2))]
    saved(tmp_path / "0.npz", one=np.array("x"), rows=np.empty((0, 2), "<U1"))
    (sample,) = open_dataset(str(tmp_path), inputs).samples()
    assert sample.feed["one"].item() == "x"
    assert sample.feed["rows"].shape == (0, 2)


def test_a_callable_gives_what_people_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "texts_of_a_test.py").write_text(
        "import numpy as np\n"
        "def lists(): yield {'city': [['Bern']]}\n"
        "def objects(): yield {'city': np.array([['Bern']], object)}\n"
        "def strings(): yield {'city': np.array([['Bern']], np.dtypes.StringDType())}\n"
        "def holes(): yield {'city': np.array([['Bern'], [None]], object)}\n"
        "def halves(): yield {'city': [['\\ud800']]}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ["lists", "objects"] + (["strings"] if hasattr(np.dtypes, "StringDType") else [])
    for name in names:
        (sample,) = open_dataset(f"texts_of_a_test:{name}", [CITY]).samples()
        assert sample.feed["city"].tolist() == [["Bern"]]
    assert "element 1 is NoneType, not text" in refused("texts_of_a_test:holes", CITY)
    assert "half of a surrogate pair" in refused("texts_of_a_test:halves", CITY)
    sys.modules.pop("texts_of_a_test", None)


def test_the_same_text_has_the_same_hash_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of objects are arrays of addresses to whoever asks them for their bytes."""
    (tmp_path / "hashes_of_a_test.py").write_text(
        "import numpy as np\n"
        "def made(*texts): return {'city': np.array([[''.join(text)] for text in texts], object)}, "
        "np.array([''.join(text) for text in texts], object)\n"
        "def one(): yield made('Bern', 'Oslo')\n"
        "def same(): yield made(['Be', 'rn'], ['Os', 'lo'])\n"
        "def other(): yield made('BernO', 'slo')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    one, same, other = (open_dataset(f"hashes_of_a_test:{name}", [CITY]).sha256 for name in ("one", "same", "other"))
    assert one == same != other
    sys.modules.pop("hashes_of_a_test", None)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([[b"Bern"]]), ["has dtype bytes, expected text", "numpy.char.decode(city, 'utf-8')"]),
        (np.array([["Bern"]], object), ["holds Python objects", "city.astype(str)"]),
        (np.array([[3.0]]), ["has dtype float64, expected text", "city.astype(str)"]),
        (np.array([["2026-01-01"]], "M8[s]"), ["datetime64[s], expected numbers or text", "astype(numpy.int64)"]),
        (np.array([(1, 2.0)], [("a", int), ("b", float)]), ["expected numbers or text", "city['a']"]),
    ],
    ids=["bytes", "objects", "numbers", "dates", "records"],
)
def test_what_is_no_text_is_refused_with_what_to_save(tmp_path: Path, array: np.ndarray, words: list[str]) -> None:
    said = refused(saved(tmp_path / "a.npz", city=array), CITY)
    for word in words:
        assert word in said


def test_text_and_complex_numbers_are_no_numbers_of_a_model(tmp_path: Path) -> None:
    said = refused(saved(tmp_path / "a.npz", age=np.array([["old"]])), AGE)
    assert "has dtype text, expected float32" in said and "encode the text" in said
    assert "has dtype complex128" in refused(saved(tmp_path / "a.npz", age=np.array([[1j]])), AGE)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "int4", "uint4", "float4_e2m1fn", "complex64"])
def test_inputs_of_types_that_do_not_travel(tmp_path: Path, dtype: str) -> None:
    facts = TensorFacts(name="age", dtype=dtype, shape=("N", 1))
    assert f"takes {dtype}, which a dataset cannot hold" in refused(
        saved(tmp_path / "a.npz", age=np.ones((1, 1), np.complex64)), facts
    )
    assert generated_samples([facts], lambda feed: True) == ()


def test_text_is_made_up_from_the_words_that_a_model_knows() -> None:
    inputs = [CITY, TensorFacts(name="note", dtype="str", shape=()), WHEN]
    samples = generated_samples(inputs, lambda feed: True, words={"city": ["Bern", "Oslo"]})
    cities = {city for sample in samples for city in sample.feed["city"].flat}
    assert cities == {"Bern", "Oslo"}
    assert all(isinstance(sample.feed["note"].item(), str) for sample in samples)
