"""Which model a release is compared with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError
from edgedeploy.foundation.files import cache_folder
from edgedeploy.foundation.progress import SILENT
from edgedeploy.measure.evaluate import test as run_test
from edgedeploy.measure.reference import reference_model
from edgedeploy.model.cache import keep_model, kept_model
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


def test_a_program_is_compared_with_what_was_compiled(local, program, tmp_path):
    with pytest.raises(UnsupportedError, match="compiled into a program") as caught:
        reference_model(local, program, SILENT)
    assert "--model" in caught.value.hint
    keep_model(compiled(program))
    assert reference_model(local, program, SILENT) == compiled(program)
    np.savez(tmp_path / "data.npz", x=np.ones((3, 3), np.float32))
    measured = run_test(local, program, str(tmp_path / "data.npz"))
    assert measured.accuracy is not None
    assert measured.accuracy.agreement.top1_match == 1.0


def test_a_file_that_is_given_has_to_be_the_one(local, program, tmp_path):
    (tmp_path / "m.onnx").write_bytes(compiled(program))
    (tmp_path / "other.onnx").write_bytes(b"other")
    assert reference_model(local, program, SILENT, tmp_path / "m.onnx") == compiled(program)
    with pytest.raises(InvalidFileError, match="is not the model"):
        reference_model(local, program, SILENT, tmp_path / "other.onnx")
    with pytest.raises(InvalidFileError, match="does not exist"):
        reference_model(local, program, SILENT, tmp_path / "none.onnx")


def test_what_is_kept_is_itself():
    keep_model(b"a model")
    sha256 = hashlib.sha256(b"a model").hexdigest()
    assert kept_model(sha256) == b"a model"
    (cache_folder() / "models" / sha256).write_bytes(b"damaged")
    assert kept_model(sha256) is None
    keep_model(b"a model")
    assert kept_model(sha256) == b"a model"
    assert kept_model("0" * 64) is None
