"""Every test has a home of its own: nothing of the developer's is read, nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgedeploy.files import cache_folder

# Where it is before any test has another home.
_CACHE = cache_folder().parent


@pytest.fixture(autouse=True)
def _own_folders(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / "home").mkdir()
    # Boards and laid-out wheels take minutes to make and cannot differ between tests: those marked keep the cache.
    keeps = {"emulated", "keeps_cache"} & {mark.name for mark in request.node.iter_markers()}
    monkeypatch.setenv("XDG_CACHE_HOME", str(_CACHE if keeps else tmp_path / "cache"))
