"""What is in a release's folder is what its manifest says: names, kinds, modes, contents; and it can be repaired."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.device_store import damage, store

from edgedeploy.cli.main import cli
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import list_releases, rollback
from edgedeploy.deploy.status import status
from edgedeploy.deploy.verification import altered_releases, broken_files
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.values.bundle import Bundle

pytestmark = pytest.mark.slow

_FILES = {"runtime/python/numpy/core.py": b"x = 1\n", "runtime/a  b/ü.txt": b"two spaces", "golden/0000.npz": b"g"}


def _replaced(path: Path, content: bytes = b"other") -> None:
    path.unlink()
    path.write_bytes(content)


def _linked(path: Path) -> None:
    """A link to a whole copy that anybody may change later."""
    copy = path.parents[4] / "copy"
    shutil.copy(path, copy)
    path.unlink()
    path.symlink_to(copy)


def _folder_for_file(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file's mode": (lambda at: (at / "run").chmod(0o444), "run cannot be run"),
    "everybody may write": (lambda at: (at / "model.onnx").chmod(0o666), "model.onnx has a mode"),
    "set-user-ID": (lambda at: (at / "run").chmod(0o4555), "run has a mode"),
    "a folder that everybody may write": (lambda at: (at / "golden").chmod(0o777), "golden has a mode"),
    "missing": (lambda at: (at / "model.onnx").unlink(), "model.onnx is missing"),
    "a missing folder": (lambda at: shutil.rmtree(at / "golden"), "golden is missing"),
    "a link": (lambda at: _linked(at / "model.onnx"), "model.onnx is no file any more"),
    "a folder for a file": (lambda at: _folder_for_file(at / "model.onnx"), "model.onnx is no file any more"),
    "what never ends": (lambda at: _fifo(at / "model.onnx"), "model.onnx is no file any more"),
    "a module": (lambda at: (at / "runtime/python/sitecustomize.py").touch(), "sitecustomize.py is not of the release"),
    "a module that shadows": (lambda at: (at / "numpy.py").touch(), "numpy.py is not of the release"),
    "a package": (lambda at: (at / "json").mkdir(), "json is not of the release"),
    "bytecode beside it": (
        lambda at: (at / "runtime/python/numpy/__pycache__").mkdir(),
        "runtime/python/numpy/__pycache__ is not of the release",
    ),
    "a hidden file": (lambda at: (at / "runtime/python/.pth").touch(), ".pth is not of the release"),
    "a name over two lines": (lambda at: (at / "a\nb").touch(), "is not of the release"),
}


@pytest.fixture
def bundle(make_bundle) -> Bundle:
    return make_bundle(files=_FILES)


@pytest.mark.parametrize("fault", _FAULTS)
def test_is_told_and_pushed_anew(bundle: Bundle, device: LocalConnection, fault: str) -> None:
    release = push(bundle, device).release
    assert altered_releases(device, [release]) == {}
    apply, words = _FAULTS[fault]
    apply(Path(release.path))
    assert words in " ".join(list_releases(device, check_layout=True).altered[f"model/{release.id}"])
    found = status(device, check_health=True)
    assert words in " ".join(found.altered[f"model/{release.id}"])
    (running,) = found.running
    assert (running.healthy_now, words in (running.files_now or "")) == (False, True)
    result = push(bundle, device)
    assert (result.sent_files, broken_files(device, release)) == (0, "")


def test_the_commands_tell(bundle: Bundle, make_bundle, device: LocalConnection, home: Path) -> None:
    first = push(bundle, device).release
    push(make_bundle(version="2"), device)
    for number in range(7):
        (Path(first.path) / f"extra{number}").touch()
    for command, code in (("status", 1), ("releases", 0)):
        shown = CliRunner().invoke(cli, [command, f"local:{home}"], standalone_mode=False)
        assert shown.return_value == code
        assert f"model/{first.id}: extra0 is not of the release, extra1" in shown.stdout
        assert "and 2 more (push its bundle again)" in shown.stdout
    shown = CliRunner().invoke(cli, ["rollback", f"local:{home}"], standalone_mode=False)
    assert shown.return_value == 0
    assert f"repairing {first.id}, which is damaged: extra0 is not of the release" in shown.stderr


def test_is_repaired_on_the_way_back(bundle: Bundle, make_bundle, device: LocalConnection) -> None:
    first = push(bundle, device).release
    push(make_bundle(version="2", files=_FILES), device)
    for fault in ("a module", "a link", "set-user-ID", "a missing folder"):
        _FAULTS[fault][0](Path(first.path))
    assert rollback(device).id == first.id
    assert broken_files(device, first) == ""


def test_a_file_system_without_modes(bundle: Bundle, device: LocalConnection, tools) -> None:
    """As vfat is: everybody may do everything there."""
    release = push(bundle, device).release
    for path in Path(release.path).rglob("*"):
        path.chmod(0o777)
    assert "mode" in broken_files(device, release)
    real = shutil.which("ls")
    tools("ls", f'case "$*" in *.mode.*) echo "-rwxrwxrwx 1 0 0 0 Jan 1 00:00 $2" ;; *) exec {real} "$@" ;; esac')
    assert broken_files(device, release) == ""


class TestDamagedContents:
    def test_contents_cannot_be_written(self, bundle: Bundle, device: LocalConnection, home: Path) -> None:
        release = push(bundle, device).release
        for entry in bundle.manifest.files:
            mode = (Path(release.path) / entry.path).stat().st_mode & 0o7777
            assert mode == (0o555 if entry.executable else 0o444)
        assert all(blob.stat().st_mode & 0o222 == 0 for blob in (store(home) / "blobs/sha256").iterdir())

    def test_releases_of_before_get_the_modes(self, make_bundle, device: LocalConnection, home: Path) -> None:
        shared = {"lib": b"library"}
        first = push(make_bundle(files=shared), device).release
        for path in [*store(home).glob("blobs/sha256/*"), *Path(first.path).rglob("*")]:
            path.chmod(0o755 if path.name == "run" or path.is_dir() else 0o644)
        assert broken_files(device, first) == ""
        second = push(make_bundle(version="2", files=shared), device).release
        assert (Path(second.path) / "lib").stat().st_mode & 0o777 == 0o444
        assert (Path(second.path) / "run").stat().st_mode & 0o777 == 0o555
        assert broken_files(device, first) == ""

    def test_an_application_that_appends(self, make_bundle, device: LocalConnection, home: Path) -> None:
        """As root, for whom modes are nothing: the store and both releases have the same damaged file."""
        shared = {"lib": b"library", "tool": b"#!/bin/sh\n"}
        first = push(make_bundle(files=shared), device).release
        second = push(make_bundle(version="2", files=shared), device).release
        with (Path(second.path) / "lib").open("ab") as file:
            file.write(b"line of a log\n")
        (running,) = status(device, check_health=True).running
        assert running.healthy_now is False
        assert "lib" in (running.files_now or "")
        with pytest.raises(DeviceError, match="is damaged"):
            rollback(device)
        result = push(make_bundle(version="2", files=shared), device)
        assert (result.sent_files, result.activated) == (1, False)
        assert broken_files(device, second) == broken_files(device, first) == ""
        assert rollback(device).id == first.id

    def test_a_program_that_is_shared(self, make_bundle, device: LocalConnection, home: Path) -> None:
        first = push(make_bundle(), device).release
        second = push(make_bundle(version="2"), device).release
        for path in (Path(first.path) / "run", Path(second.path) / "run"):
            damage(path, b"#!/bin/sh\nexit 0\n")
        for blob in store(home).glob("blobs/sha256/*"):
            if blob.read_bytes() == b"#!/bin/sh\nexit 0\n":
                damage(blob, b"damaged too")
        push(make_bundle(version="2"), device)
        assert broken_files(device, second) == broken_files(device, first) == ""

    def test_what_the_store_has_whole_is_not_sent(self, make_bundle, device: LocalConnection) -> None:
        bundle = make_bundle()
        release = push(bundle, device).release
        _replaced(Path(release.path) / "model.onnx")
        assert "model.onnx" in broken_files(device, release)
        assert push(bundle, device).sent_files == 0
        assert broken_files(device, release) == ""

    @pytest.mark.parametrize("how", ["removed", "a folder", "a link"])
    def test_what_a_release_has_whole_is_not_sent(
        self, make_bundle, device: LocalConnection, home: Path, how: str
    ) -> None:
        shared = {"lib": b"library"}
        first = push(make_bundle(files=shared), device).release
        for blob in (store(home) / "blobs/sha256").iterdir():
            blob.unlink()
            if how == "a folder":
                blob.mkdir()
            if how == "a link":
                blob.symlink_to(Path(first.path) / "lib")
        result = push(make_bundle(version="2", files=shared), device)
        assert result.sent_files == 2  # the model and the manifest
        assert broken_files(device, result.release) == broken_files(device, first) == ""
        blob = store(home) / "blobs/sha256" / hashlib.sha256(b"library").hexdigest()
        assert blob.read_bytes() == b"library"
        assert not blob.is_symlink()

    def test_where_files_have_one_name(self, make_bundle, device: LocalConnection, home: Path, tools) -> None:
        tools("ln", f'[ "$1" = -s ] || exit 1; exec {shutil.which("ln")} "$@"')
        shared = {"lib": b"library"}
        first = push(make_bundle(files=shared), device).release
        push(make_bundle(version="2", files=shared), device)
        damage(Path(first.path) / "lib", b"damaged")
        damage(store(home) / "blobs/sha256" / hashlib.sha256(b"library").hexdigest(), b"damaged too")
        assert rollback(device).id == first.id
        assert broken_files(device, first) == ""


class TestPlaces:
    """What lies where our files and folders belong."""

    @pytest.mark.parametrize("place", ["blobs", "blobs/sha256", "staging", "partial", "current"])
    def test_a_file_for_a_folder(self, make_bundle, device: LocalConnection, home: Path, place: str) -> None:
        push(make_bundle(), device)
        shutil.rmtree(store(home) / place)
        (store(home) / place).touch()
        assert broken_files(device, push(make_bundle(), device).release) == ""

    def test_a_release_that_is_a_link(self, make_bundle, device: LocalConnection, home: Path, tmp_path: Path) -> None:
        release = push(make_bundle(), device).release
        Path(release.path).rename(tmp_path / "elsewhere")
        Path(release.path).symlink_to(tmp_path / "elsewhere")
        assert list_releases(device).damaged == (f"model/{release.id}",)
        result = push(make_bundle(), device)
        assert (broken_files(device, result.release), Path(release.path).is_symlink()) == ("", False)
        assert (tmp_path / "elsewhere/run").exists()

    @pytest.mark.parametrize("leads_to", ["elsewhere", "nowhere", "a folder", "a file"])
    def test_what_is_current_is_no_release(
        self, make_bundle, device: LocalConnection, home: Path, tmp_path: Path, leads_to: str
    ) -> None:
        release = push(make_bundle(), device).release
        current = store(home) / "current/model"
        current.unlink()
        other = tmp_path / release.id
        if leads_to == "a folder":
            shutil.copytree(release.path, current)
        elif leads_to == "a file":
            current.touch()
        else:
            current.symlink_to(other)
            if leads_to == "elsewhere":
                shutil.copytree(release.path, other)
        assert not any(each.current for each in list_releases(device).releases)
        assert push(make_bundle(), device).activated
        assert current.resolve() == Path(release.path).resolve()

    def test_current_by_another_way(self, make_bundle, device: LocalConnection, home: Path) -> None:
        """As a restored backup may have it."""
        release = push(make_bundle(), device).release
        current = store(home) / "current/model"
        current.unlink()
        current.symlink_to(release.path)
        assert list_releases(device).releases[0].current

    @pytest.mark.parametrize("place", ["releases/model/{id}/manifest.json", "releases/model/{id}.parent", "log"])
    def test_what_never_ends(self, make_bundle, device: LocalConnection, home: Path, place: str) -> None:
        release = push(make_bundle(), device).release
        path = store(home) / place.format(id=release.id)
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        list_releases(device)
        status(device)
        assert broken_files(device, push(make_bundle(), device).release) == ""


def test_the_answer_is_json(bundle: Bundle, device: LocalConnection) -> None:
    import msgspec

    release = push(bundle, device).release
    (Path(release.path) / "x\x1b[31m").touch()
    found = json.loads(msgspec.json.encode(list_releases(device, check_layout=True)))
    assert found["altered"] == {f"model/{release.id}": ["x [31m is not of the release"]}
