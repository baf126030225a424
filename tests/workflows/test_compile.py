"""A bundle says how its samples were prepared, and may do it itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.host_backend import HostBackend
from support.picture_models import write_picture_model

import edgedeploy.compile.backends.native as native_backend
import edgedeploy.compile.backends.onnxruntime as onnxruntime_backend
from edgedeploy import api
from edgedeploy.compile.golden import read_golden
from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import DatasetError, InvalidFileError, UnsupportedError
from edgedeploy.foundation.progress import Progress
from edgedeploy.inference.session import open_session
from edgedeploy.values.bundle import Bundle
from edgedeploy.values.measurement import Measurement

Image = pytest.importorskip("PIL.Image")

YOLO = {"preset": "yolo"}


@pytest.fixture(autouse=True)
def without_wheels(monkeypatch):
    monkeypatch.setattr(onnxruntime_backend, "BACKEND", HostBackend())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_picture_model(tmp_path / "model.onnx")


@pytest.fixture
def data(tmp_path: Path, rng) -> Path:
    """Pictures of several sizes in two classes, with a data.toml."""
    for number, extent in enumerate(((50, 70), (90, 40), (33, 33), (60, 61))):
        folder = tmp_path / "pictures" / ("a", "b")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (*extent, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    path = tmp_path / "data.toml"
    path.write_text('path = "pictures"\n[preprocessing]\npreset = "yolo"\n')
    return path


def compiled(model: Path, folder: Path, **settings) -> Bundle:
    return api.compile(model, api.load_target("x86-64"), folder, backend="onnxruntime", **settings)


def test_the_manifest_says_what_was_declared(model, data, tmp_path):
    assert compiled(model, tmp_path / "none").manifest.preprocessing == {}
    for settings in ({"preprocessing": YOLO}, {"golden": str(data)}):
        said = compiled(model, tmp_path / "bundle", **settings).manifest
        assert said.preprocessing["resize"] == "letterbox" and said.preprocessing["size"] == [32, 40]
        assert said.model.inputs[0].preprocessing is None and said.model.inputs[0].dtype == "float32"


def test_a_model_that_prepares_pictures_takes_the_golden_ones_as_they_are(model, data, tmp_path):
    bundle = compiled(model, tmp_path / "bundle", golden=str(data), embed=True)
    tensor = bundle.manifest.model.inputs[0]
    assert tensor.preprocessing is not None and tensor.preprocessing.resizes
    assert bundle.manifest.preprocessing["preset"] == "yolo"
    shapes = {read_golden(bundle.path / "golden", number).inputs["picture"].shape for number in range(4)}
    assert shapes == {(1, 50, 70, 3), (1, 90, 40, 3), (1, 33, 33, 3), (1, 60, 61, 3)}
    # The same answers as by the declared pipeline, which the dataset walks for the model as it was.
    before = open_dataset(str(data), api.inspect(model).inputs)
    session = open_session(model.read_bytes(), "onnx", exact=True)
    for number, sample in enumerate(before.samples()):
        wanted = session.run(sample.feed)[0]
        found = read_golden(bundle.path / "golden", number).outputs["answer"]
        assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < 0.02
    # And the same set, by its hash, so that figures on host and device are of the same data.
    assert open_dataset(str(data), bundle.manifest.model.inputs).sha256 == before.sha256


def test_without_data_golden_pictures_are_made_up(model, tmp_path):
    bundle = compiled(model, tmp_path / "bundle", preprocessing=YOLO, embed=True)
    picture = read_golden(bundle.path / "golden", 0).inputs["picture"]
    assert picture.dtype == np.uint8 and picture.shape == (1, 49, 80, 3) and picture.std() > 30


@pytest.mark.slow
def test_it_runs_on_a_device(model, data, tmp_path):
    """The health check there compares with the golden answers; `test` feeds the pictures of the data."""
    bundle = compiled(model, tmp_path / "bundle", golden=str(data), embed=True)
    device = f"local:{tmp_path / 'device'}"
    with api.connect(device) as connection:
        pushed = api.push(bundle, connection)
        measured: Measurement = api.test(connection, pushed.release, str(data))
    assert measured.accuracy is not None and measured.accuracy.metric == measured.accuracy.host_metric


def test_names_and_evidence_are_those_of_the_model_that_was_given(model, tmp_path):
    bundle = compiled(model, tmp_path / "bundle", preprocessing=YOLO, embed=True)
    assert bundle.manifest.name == "model"


def test_for_a_backend_with_static_shapes_resizing_stays_outside(model, tmp_path, monkeypatch):
    monkeypatch.setattr(native_backend, "BACKEND", HostBackend())
    notes = []

    class Listener(Progress):
        def step(self, text): ...

        def advance(self, done, total, unit): ...

        def note(self, text):
            notes.append(text)

    bundle = api.compile(
        model,
        api.load_target("x86-64"),
        tmp_path / "b",
        backend="native",
        preprocessing=YOLO,
        embed=True,
        progress=Listener(),
    )
    inside = bundle.manifest.model.inputs[0].preprocessing
    assert inside is not None and not inside.resizes
    assert any("--picture-size HEIGHTxWIDTH" in note for note in notes)


def test_without_a_declaration_there_is_nothing_to_put_in(model, data, tmp_path):
    with pytest.raises(UnsupportedError, match="no preprocessing") as caught:
        compiled(model, tmp_path / "bundle", embed=True)
    assert "--preprocessing" in caught.value.hint
    data.write_text('path = "pictures"\n')
    with pytest.raises(InvalidFileError, match="no table"):
        api.declared_preprocessing(data)


def test_golden_arrays_for_the_model_as_it_was_are_refused(model, tmp_path):
    np.savez(tmp_path / "prepared.npz", picture=np.zeros((2, 3, 32, 40), np.float32))
    with pytest.raises(DatasetError, match="float32"):
        compiled(model, tmp_path / "b", golden=str(tmp_path / "prepared.npz"), preprocessing=YOLO, embed=True)
