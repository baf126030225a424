"""Where the user's folders are, whatever HOME says."""

from __future__ import annotations

import errno
import os
import pwd
from pathlib import Path

import pytest

from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.files import cache_folder, unwritable
from edgedeploy.foundation.home import home_folder, variable_of, xdg_folder


@pytest.mark.parametrize("named", [None, "", "relative/home"])
def test_where_home_names_nothing_the_list_of_users_is_asked(
    named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME") if named is None else monkeypatch.setenv("HOME", named)
    assert home_folder() == Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_a_user_who_has_none_is_told_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_001)
    with pytest.raises(HostError, match="no home folder") as caught:
        cache_folder()
    assert caught.value.hint.startswith("export HOME=")


def test_a_relative_path_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert xdg_folder("XDG_CACHE_HOME") == Path("/home/somebody/.cache")


@pytest.mark.parametrize(
    ("path", "variable"),
    [
        ("/h/.cache/edgedeploy/boards/.rpi4.lock", "XDG_CACHE_HOME"),
        ("/h/.local/share/edgedeploy/local/current", "XDG_DATA_HOME"),
        ("/h/.cache/other", None),
        ("/h/small.onnx", None),
    ],
)
def test_what_cannot_be_written_names_the_variable(
    path: str, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/h")
    for each in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(each, raising=False)
    assert variable_of(Path(path)) == variable
    hint = unwritable(Path(path), OSError(errno.EROFS, "Read-only file system")).hint
    assert hint == (f'export {variable}="$PWD"' if variable else "name another place")
