"""Which model a release is compared with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from msgspec import structs

from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.files import cache_folder
from edgedeploy.foundation.progress import SILENT
from edgedeploy.measure.evaluate import test as run_test
from edgedeploy.measure.reference import reference_model
from edgedeploy.model.cache import keep_model, kept_model
from edgedeploy.model.identity import sha256_of_model
from edgedeploy.values.bundle import Release


@pytest.fixture
def program(make_release) -> Release:
    """A release whose model has become a program: here the runner, which runs it all the same."""
    release = make_release()
    return structs.replace(release, manifest=structs.replace(release.manifest, model_file="run"))


def compiled(release: Release) -> bytes:
    return Path(release.path, "model.onnx").read_bytes()


def test_the_releases_own_model(local, make_release):
    release = make_release()
    assert reference_model(local, release, SILENT) == compiled(release)


@pytest.mark.slow
def test_a_program_is_compared_with_what_was_compiled(local, program, tmp_path):
    with pytest.raises(UnsupportedError, match="compiled into a program") as caught:
        reference_model(local, program, SILENT)
    assert "--model" in caught.value.hint
    keep_model(program.manifest.model.sha256, compiled(program))
    assert reference_model(local, program, SILENT) == compiled(program)
    np.savez(tmp_path / "data.npz", x=np.ones((3, 3), np.float32))
    measured = run_test(local, program, str(tmp_path / "data.npz"))
    assert measured.accuracy is not None
    assert measured.accuracy.agreement.sqnr_db is None


def test_a_file_that_is_given_has_to_be_the_one(local, program, tmp_path):
    (tmp_path / "m.onnx").write_bytes(compiled(program))
    other = onnx.load_from_string(compiled(program))
    other.producer_name = "another"
    (tmp_path / "other.onnx").write_bytes(other.SerializeToString())
    assert reference_model(local, program, SILENT, tmp_path / "m.onnx") == compiled(program)
    with pytest.raises(InvalidFileError, match="is not the model"):
        reference_model(local, program, SILENT, tmp_path / "other.onnx")
    with pytest.raises(InvalidFileError, match="does not exist"):
        reference_model(local, program, SILENT, tmp_path / "none.onnx")


def test_a_model_in_several_files_is_the_one_of_its_release(local, program, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(compiled(program))
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    facts = structs.replace(program.manifest.model, sha256=sha256_of_model(path))
    release = structs.replace(program, manifest=structs.replace(program.manifest, model=facts))
    given = onnx.load_from_string(reference_model(local, release, SILENT, path))
    assert given.graph.initializer[0].data_location == onnx.TensorProto.DEFAULT


def test_what_is_kept_is_itself():
    sha256 = hashlib.sha256(b"a model").hexdigest()
    keep_model(sha256, b"a model")
    assert kept_model(sha256) == b"a model"
    (cache_folder() / "models" / sha256).write_bytes(b"damaged")
    assert kept_model(sha256) is None
    keep_model(sha256, b"a model")
    assert kept_model(sha256) == b"a model"


def test_a_model_in_several_files_is_kept_as_the_one_it_became():
    keep_model("ab" * 32, b"in one piece")
    assert kept_model("ab" * 32) == b"in one piece"
    (kept,) = (cache_folder() / "models").glob("ab*")
    kept.write_bytes(b"damaged")
    assert kept_model("ab" * 32) is None
