"""Names, paths and hashes of a manifest are never obeyed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.device_store import Untouchable, store

from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import list_releases
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import IntegrityError
from edgedeploy.values.bundle import MANIFEST_NAME, FileEntry

pytestmark = pytest.mark.slow


_SOUND = FileEntry(path="run", size_bytes=1, sha256="0" * 64, executable=True)
_hostile_names = st.sampled_from(
    ["", ".", "..", "a/b", "../x", "A", "a b", "-rf", "a..b", "a\n", "$(id)", "a;b", "ä", "x" * 65, "a\x00"]
) | st.text(max_size=5).filter(lambda text: not re.fullmatch("[a-z0-9._-]*", text))
_hostile_paths = st.sampled_from(
    ["", "/", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "./a", "a/", "a\nb", "a\x00", "a\\b", "\ud800",
     "a\x1b[2J", "x" * 256, "x/" * 600 + "x", "\u202etxt"]
)  # fmt: skip
_hostile_hashes = st.sampled_from(
    ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "../" + "0" * 61, "0" * 63 + "\n", "٠" * 64]
)
_hostile_pythons = st.sampled_from(["", "3", "3/../../bin/sh", "-c", "3.11 ", "3.11\n", "3.x", "٣.١"])


class TestHostileManifest:
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_is_refused_before_anything_is_run(self, make_bundle, data: st.DataObject) -> None:
        sound = make_bundle()
        field = data.draw(st.sampled_from(["name", "version", "path", "sha256", "python"]))
        manifest = sound.manifest
        if field in ("name", "version"):
            manifest = msgspec.structs.replace(manifest, **{field: data.draw(_hostile_names)})
        elif field == "python":
            runtime = msgspec.structs.replace(manifest.runtime, python=data.draw(_hostile_pythons))
            manifest = msgspec.structs.replace(manifest, runtime=runtime)
        else:
            value = data.draw(_hostile_paths if field == "path" else _hostile_hashes)
            files = (*manifest.files, msgspec.structs.replace(_SOUND, **{field: value}))
            manifest = msgspec.structs.replace(manifest, files=files)
        with pytest.raises(IntegrityError) as caught:
            push(msgspec.structs.replace(sound, manifest=manifest), Untouchable())
        assert "\x1b" not in str(caught.value)

    def test_of_a_release_on_the_device_is_not_taken(self, make_bundle, device: LocalConnection, home: Path) -> None:
        bundle = make_bundle()
        content = (bundle.path / MANIFEST_NAME).read_bytes().replace(b'"model.onnx"', b'"../../../x"')
        identity = f"1-{hashlib.sha256(content).hexdigest()[:12]}"
        folder = store(home) / "releases/model" / identity
        folder.mkdir(parents=True)
        (folder / MANIFEST_NAME).write_bytes(content)
        listing = list_releases(device)
        assert (listing.releases, listing.unreadable) == ((), (f"model/{identity}",))
