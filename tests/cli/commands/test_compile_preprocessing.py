"""`edgedeploy compile` with what is done to pictures, recorded or put into the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.host_backend import HostBackend
from support.picture_models import write_picture_model

pytest.importorskip("PIL")


@pytest.fixture
def words(tmp_path: Path, monkeypatch) -> list[str]:
    """A command that works, without options."""
    monkeypatch.setattr("edgedeploy.compile.backends.onnxruntime.BACKEND", HostBackend())
    (tmp_path / "data.toml").write_text('path = "none"\n[preprocessing]\npreset = "imagenet"\n')
    model = write_picture_model(tmp_path / "model.onnx", size=(32, 32))
    return [
        *("compile", str(model), "--target", "x86-64", "--backend", "onnxruntime", "-o", str(tmp_path / "bundle")),
        *("--preprocessing", str(tmp_path / "data.toml")),
    ]


def test_it_is_recorded_and_said(edgedeploy, words):
    ended = edgedeploy(*words)
    assert ended.exit_code == 0, ended.stderr
    assert "imagenet, shorter-side, 37x37, crop 32x32, rgb; by the application" in " ".join(ended.stdout.split())


def test_it_goes_into_the_model(edgedeploy, words):
    ended = edgedeploy(*words, "--embed-preprocessing", "--json")
    assert ended.exit_code == 0, ended.stderr
    (tensor,) = json.loads(ended.stdout)["manifest"]["model"]["inputs"]
    assert tensor["dtype"] == "uint8" and tensor["shape"] == ["batch", "picture_height", "picture_width", 3]
    assert tensor["preprocessing"]["absorbed"] == ["scale"]


@pytest.mark.parametrize(
    ("size", "shape"), [("70x50", ["batch", 70, 50, 3]), ("model", ["batch", 32, 32, 3])], ids=["one", "model"]
)
def test_pictures_of_one_size(edgedeploy, words, size, shape):
    ended = edgedeploy(*words, "--embed-preprocessing", "--picture-size", size, "--json")
    assert ended.exit_code == 0, ended.stderr
    assert json.loads(ended.stdout)["manifest"]["model"]["inputs"][0]["shape"] == shape


@pytest.mark.parametrize("size", ["640", "0x4", "axb", "480x640x3", "-1x5"])
def test_what_is_no_size_is_a_mistake_on_the_command_line(edgedeploy, words, size):
    ended = edgedeploy(*words, "--embed-preprocessing", "--picture-size", size)
    assert ended.exit_code == 2 and "480x640" in ended.stderr


def test_a_size_without_embedding_is_one_too(edgedeploy, words):
    for option in (("--picture-size", "480x640"), ("--picture-color", "bgr")):
        ended = edgedeploy(*words, *option)
        assert ended.exit_code == 2 and "--embed-preprocessing" in ended.stderr
    ended = edgedeploy(*words, "--embed-preprocessing", "--picture-color", "bgr", "--json")
    assert json.loads(ended.stdout)["manifest"]["model"]["inputs"][0]["preprocessing"]["picture_color"] == "bgr"


def test_tables_that_do_not_fit_the_model_are_refused(edgedeploy, words, tmp_path):
    (tmp_path / "data.toml").write_text('path = "none"\n[preprocessing]\ncolor = "gray"\n')
    ended = edgedeploy(*words, "--embed-preprocessing")
    assert ended.exit_code == 4 and "channels" in ended.stderr
    (tmp_path / "data.toml").write_text('path = "none"\n[preprocessing]\npreset = "imagnet"\n')
    ended = edgedeploy(*words)
    assert ended.exit_code == 6 and "imagenet" in ended.stderr
