"""Two bundles with one release ID: an ID is 48 bits of a hash, for which a collision takes minutes to make."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from msgspec import structs
from support.device_store import store, tree

from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import list_releases, release_id
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import IntegrityError
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle

pytestmark = pytest.mark.slow


def colliding(bundle: Bundle, sha256: str) -> Bundle:
    """A bundle whose hash begins as another one's, and goes on otherwise."""
    digits = len(release_id("", sha256)) - 1
    return structs.replace(bundle, sha256=sha256[:digits] + hashlib.sha256(sha256.encode()).hexdigest()[digits:])


def test_one_that_came_first_does_not_answer_for_another(make_bundle, device: LocalConnection, home: Path) -> None:
    bundle = make_bundle()
    first = push(bundle, device).release
    before = tree(home)
    other = colliding(bundle, bundle.sha256)
    with pytest.raises(IntegrityError, match=f"has another release of model with the ID {first.id}") as caught:
        push(other, device)
    assert bundle.sha256 in caught.value.why and other.sha256 in caught.value.why
    assert tree(home) == before
    # The same again is no collision.
    assert not push(bundle, device).activated


def test_one_that_this_version_cannot_read_counts_too(make_bundle, device: LocalConnection, home: Path) -> None:
    content = b'{"schema": 99}'
    sha256 = hashlib.sha256(content).hexdigest()
    folder = store(home) / "releases/model" / release_id("1", sha256)
    folder.mkdir(parents=True)
    (folder / MANIFEST_NAME).write_bytes(content)
    assert list_releases(device).unreadable == (f"model/{folder.name}",)
    with pytest.raises(IntegrityError, match="has another release"):
        push(colliding(make_bundle(), sha256), device)
    assert (folder / MANIFEST_NAME).read_bytes() == content
