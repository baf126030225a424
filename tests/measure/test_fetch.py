"""A release's model back from a device, whatever its size."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from msgspec import structs

from edgedeploy.device.connection import ANSWER_LIMIT_BYTES
from edgedeploy.foundation.errors import DeviceError, IntegrityError
from edgedeploy.foundation.progress import SILENT
from edgedeploy.measure.fetch import fetch_model
from edgedeploy.values.bundle import Release


def with_model(release: Release, content: bytes) -> Release:
    """The release, its manifest saying that `content` is its model."""
    entry = next(entry for entry in release.manifest.files if entry.path == release.manifest.model_file)
    changed = structs.replace(entry, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    files = tuple(changed if one is entry else one for one in release.manifest.files)
    return structs.replace(release, manifest=structs.replace(release.manifest, files=files))


def model_path(release: Release) -> Path:
    return Path(release.path) / release.manifest.model_file


@pytest.mark.slow
def test_a_model_larger_than_any_answer_arrives(local, make_release):
    release = make_release()
    content = bytes(ANSWER_LIMIT_BYTES + 5)
    model_path(release).write_bytes(content)
    assert fetch_model(local, with_model(release, content), SILENT) == content


@pytest.mark.parametrize("found", [b"", b"mode", b"models", b"model" * 100_000, b"madel"])
def test_another_file_than_the_manifests_is_refused(local, make_release, found):
    release = with_model(make_release(), b"model")
    model_path(release).write_bytes(found)
    with pytest.raises(IntegrityError, match="not the one that was pushed"):
        fetch_model(local, release, SILENT)


def test_a_model_that_is_gone_is_told_in_the_devices_words(local, make_release):
    release = make_release()
    model_path(release).unlink()
    with pytest.raises(DeviceError, match="cannot be read") as caught:
        fetch_model(local, release, SILENT)
    assert "No such file" in (caught.value.why or "")


def test_a_device_that_hangs_is_noticed(local, make_release):
    release = make_release()
    content = model_path(release).read_bytes()
    model_path(release).unlink()
    # Reading a pipe that nobody writes to waits for ever.
    os.mkfifo(model_path(release))
    with pytest.raises(DeviceError, match="did not send"):
        fetch_model(local, with_model(release, content), SILENT, silence_limit_s=0.3)


def test_a_model_larger_than_models_can_be_is_not_fetched(local, make_release):
    """The manifest comes from the device: without a limit, `/dev/zero` in the model's place would fill the memory."""
    release = with_model(make_release(), b"model")
    model_path(release).unlink()
    model_path(release).symlink_to("/dev/zero")
    entry = next(entry for entry in release.manifest.files if entry.path == release.manifest.model_file)
    files = (structs.replace(entry, size_bytes=1 << 40),)
    huge = structs.replace(release, manifest=structs.replace(release.manifest, files=files))
    with pytest.raises(IntegrityError, match="lists a model of 1,099,511,627,776 bytes"):
        fetch_model(local, huge, SILENT)
