"""Every test has a home of its own: nothing of the developer's is read, nothing is left behind."""

from __future__ import annotations

import hashlib
import platform
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import settings

from edgedeploy.bundle.build import encode_manifest, list_files, open_bundle
from edgedeploy.foundation.files import cache_folder
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle, Manifest, Runtime
from edgedeploy.values.model import ModelFacts

# Fixtures that tests of several rooms share.
pytest_plugins = ["support.releases", "support.sample_measurement"]

MakeBundle = Callable[..., Bundle]

# The same examples for everybody, so that a change is what breaks a test and nothing else;
# `scripts/test --hypothesis-profile=default` looks for new ones.
settings.register_profile("same-examples", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("same-examples")
# For `scripts/test fast`: the first of the same examples.
settings.register_profile("fewer-examples", max_examples=25)

# Where it is before any test has another home.
_CACHE = cache_folder().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let files with boards and files with other costly tests come first, by turns, each kind in its random order: what
    is left for the end is short, and boards, which keep a core busy, are not all up at once."""
    kinds: dict[Path, int] = {}
    for item in items:
        names = {mark.name for mark in item.iter_markers()}
        kind = 0 if "emulated" in names else 1 if names & {"keeps_cache", "device"} else 2
        kinds[item.path] = min(kind, kinds.get(item.path, kind))
    places: dict[Path, tuple[int, int]] = {}
    counts = [0, 0, 0]
    for path, kind in kinds.items():
        places[path] = (counts[kind] if kind < 2 else len(kinds), kind)
        counts[kind] += 1
    items.sort(key=lambda item: places[item.path])


@pytest.fixture(autouse=True)
def _own_folders(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    # Set where tests run in several processes: what is printed would be as wide as somebody's terminal.
    monkeypatch.delenv("COLUMNS", raising=False)
    (tmp_path / "home").mkdir()
    # Boards and laid-out wheels take minutes to make and cannot differ between tests: those marked keep the cache.
    keeps = {"emulated", "keeps_cache"} & {mark.name for mark in request.node.iter_markers()}
    monkeypatch.setenv("XDG_CACHE_HOME", str(_CACHE if keeps else tmp_path / "cache"))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator of the test's own: the same numbers each time, whichever tests run before it."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """A maker of small bundles that need nothing on the device but a shell: their `run check` is a few lines of it."""

    def make(
        *,
        name: str = "model",
        version: str = "1",
        healthy: bool = True,
        files: Mapping[str, bytes] = {},
        **changes: object,
    ) -> Bundle:
        folder = tmp_path / f"bundle {name} {version}"
        said = '{"healthy":true}' if healthy else '{"healthy":false}'
        contents = {
            "model.onnx": f"the model, version {version}".encode(),
            "run": f"#!/bin/sh\n[ \"$1\" = check ] || exit 2\necho 'loading {name}' >&2\necho '{said}'\n"
            f"exit {0 if healthy else 1}\n".encode(),
            **files,
        }
        for path, content in contents.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        (folder / "run").chmod(0o755)
        model = (folder / "model.onnx").read_bytes()
        manifest = Manifest(
            schema=1, name=name, version=version, target="test", architecture=platform.machine(),
            model_file="model.onnx",
            model=ModelFacts(
                format="onnx", sha256=hashlib.sha256(model).hexdigest(), size_bytes=len(model), producer="", opset=17,
                inputs=(), outputs=(), parameters=0, macs=None, macs_note="", operators={},
            ),
            runtime=Runtime(backend="none", python=None, glibc=None, packages={}),
            runner="run", golden_samples=0, source=None, tools={}, files=list_files(folder),
        )  # fmt: skip
        (folder / MANIFEST_NAME).write_bytes(encode_manifest(msgspec.structs.replace(manifest, **changes)))
        return open_bundle(folder)

    return make
