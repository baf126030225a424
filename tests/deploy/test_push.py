"""Pushing, listing and rolling back, on this machine as the device."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgedeploy.bundle.archive import write_edge_file
from edgedeploy.bundle.build import open_bundle
from edgedeploy.deploy.device_log import read_log
from edgedeploy.deploy.lock import device_lock
from edgedeploy.deploy.push import carry_out, push
from edgedeploy.deploy.releases import broken_files, current_release, list_releases, releases, rollback
from edgedeploy.deploy.request import PushRequest
from edgedeploy.deploy.scripts.receiving import PREPARE, STORE
from edgedeploy.deploy.scripts.shell import LOCK, TOOLS, argv
from edgedeploy.deploy.status import status
from edgedeploy.deploy.transfer.blobs import Blob
from edgedeploy.deploy.transfer.streams import tar_of_blobs
from edgedeploy.device.connection import Completed
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import BusyError, DeviceError, IntegrityError, UnknownNameError
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle, FileEntry, Needs, Runtime

pytestmark = pytest.mark.slow


def store(home: Path) -> Path:
    return home / ".edgedeploy"


def tree(home: Path) -> dict[str, bytes | str]:
    """Everything on the device but its log: contents of files, targets of links."""
    return {
        path.relative_to(home).as_posix(): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(home.rglob("*"))
        if (path.is_symlink() or path.is_file()) and path != store(home) / "log"
    }


def damage(path: Path, content: bytes) -> None:
    """Other content in the same inode, as a failing card gives it."""
    with path.open("r+b") as file:
        file.truncate()
        file.write(content)


FakeTool = Callable[[str, str], None]


class TestPush:
    def test_first(self, make_bundle, device: LocalConnection, home: Path) -> None:
        bundle = make_bundle(files={"golden/0000.npz": b"golden", "runtime/a/b/c.py": b"", "two words/ä.txt": b"x"})
        result = push(bundle, device)
        assert (result.sent_files, result.kept_files, result.activated) == (6, 0, True)
        assert result.sent_bytes == bundle.size_bytes
        assert result.health == '{"healthy":true}'
        release = result.release
        assert (release.name, release.id) == ("model", f"1-{bundle.sha256[:12]}")
        assert (release.current, release.parent) == (True, None)
        assert Path(release.path) == store(home) / "releases/model" / release.id
        assert (store(home) / "current/model").resolve() == Path(release.path).resolve()
        for entry in bundle.manifest.files:
            file = Path(release.path) / entry.path
            assert file.read_bytes() == (bundle.path / entry.path).read_bytes()
            assert bool(file.stat().st_mode & stat.S_IXUSR) == entry.executable
        assert (Path(release.path) / MANIFEST_NAME).read_bytes() == (bundle.path / MANIFEST_NAME).read_bytes()
        assert releases(device) == (release,)
        assert current_release(device) == release

    def test_a_bundle_in_one_file(self, make_bundle, device: LocalConnection, home: Path, tmp_path: Path) -> None:
        folder = make_bundle(files={"golden/0000.npz": b"golden", "runtime/empty.py": b""})
        write_edge_file(folder.path, folder.manifest, (folder.path / MANIFEST_NAME).read_bytes(), tmp_path / "m.edge")
        result = push(open_bundle(tmp_path / "m.edge"), device)
        assert (result.sent_files, result.sent_bytes) == (5, folder.size_bytes)
        for entry in folder.manifest.files:
            assert (Path(result.release.path) / entry.path).read_bytes() == (folder.path / entry.path).read_bytes()
        # It is the same release as that of the folder.
        assert push(folder, device).activated is False

    def test_a_file_that_is_cut_while_it_is_sent(self, make_bundle, device: LocalConnection, tmp_path: Path) -> None:
        folder = make_bundle(files={"weights": b"w" * 5000})
        write_edge_file(folder.path, folder.manifest, (folder.path / MANIFEST_NAME).read_bytes(), tmp_path / "m.edge")
        bundle = open_bundle(tmp_path / "m.edge")
        os.truncate(bundle.path, bundle.path.stat().st_size - 3000)
        with pytest.raises(IntegrityError, match="manifest says 5000"):
            push(bundle, device)
        assert releases(device) == ()

    def test_leaves_nothing_but_what_the_layout_says(self, make_bundle, device: LocalConnection, home: Path) -> None:
        push(make_bundle(), device)
        assert sorted(path.name for path in store(home).iterdir()) == [
            "blobs", "current", "log", "partial", "releases", "staging",
        ]  # fmt: skip
        assert list((store(home) / "partial").iterdir()) == []
        assert list((store(home) / "staging").iterdir()) == []
        for blob in (store(home) / "blobs/sha256").iterdir():
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name

    def test_again_sends_nothing(self, make_bundle, device: LocalConnection, home: Path) -> None:
        first = push(make_bundle(), device)
        before = tree(home)
        second = push(make_bundle(), device)
        assert (second.sent_files, second.sent_bytes, second.activated) == (0, 0, False)
        assert second.kept_files == first.sent_files
        assert second.release == first.release
        assert tree(home) == before

    def test_another_version_sends_what_changed(self, make_bundle, device: LocalConnection) -> None:
        shared = {"runtime/numpy.so": b"n" * 100_000}
        first = push(make_bundle(files=shared), device)
        bundle = make_bundle(version="2", files=shared)
        second = push(bundle, device)
        # The model and the manifest; the runtime and `run` are there.
        assert (second.sent_files, second.kept_files) == (2, 2)
        assert second.sent_bytes == bundle.size_bytes - 100_000 - (bundle.path / "run").stat().st_size
        assert second.release.parent == first.release.id
        assert [release.current for release in releases(device)] == [False, True]

    def test_two_models_do_not_touch_each_other(self, make_bundle, device: LocalConnection) -> None:
        push(make_bundle(name="a"), device)
        push(make_bundle(name="b"), device)
        assert current_release(device, "a").name == "a"
        assert current_release(device, "b").parent is None
        with pytest.raises(UnknownNameError, match="a, b"):
            current_release(device)
        with pytest.raises(UnknownNameError, match="'c'"):
            current_release(device, "c")

    def test_content_that_was_there_as_a_plain_file_can_be_run(self, make_bundle, device: LocalConnection) -> None:
        content = (make_bundle(version="2").path / "run").read_bytes()
        push(make_bundle(files={"notes": content, "run": content + b"# other\n"}), device)
        assert push(make_bundle(version="2"), device).activated

    def test_a_damaged_blob_is_sent_again(self, make_bundle, device: LocalConnection, home: Path) -> None:
        shared = {"runtime/lib": b"library"}
        push(make_bundle(files=shared), device)
        blob = store(home) / "blobs/sha256" / hashlib.sha256(b"library").hexdigest()
        damage(blob, b"librarz")
        result = push(make_bundle(version="2", files=shared), device)
        assert blob.read_bytes() == b"library"
        assert (Path(result.release.path) / "runtime/lib").read_bytes() == b"library"
        assert result.sent_files == 3

    @pytest.mark.parametrize("script", ["kill -KILL $$", "exit 0", "echo nothing; exit 1"])
    def test_what_was_not_verified_is_not_kept(
        self, make_bundle, device: LocalConnection, tools: FakeTool, script: str
    ) -> None:
        """Killed for want of memory, say: silence is no «all is well»."""
        first = push(make_bundle(files={"lib": b"library"}), device).release
        second = push(make_bundle(version="2", files={"lib": b"library"}), device).release
        real = shutil.which("sha256sum")
        tools("sha256sum", f'case "$2" in *list) exec {real} "$@" ;; esac\n{script}')
        if script != "exit 0":
            assert broken_files(device, second) != ""
            with pytest.raises(DeviceError, match="is damaged"):
                rollback(device)
        third = push(make_bundle(version="3", files={"lib": b"library"}), device)
        assert third.kept_files == 0
        assert first.id in [release.id for release in releases(device)]

    def test_tools_that_speak_another_language(self, make_bundle, device: LocalConnection, tools: FakeTool) -> None:
        real = shutil.which("sha256sum")
        tools("sha256sum", f'[ "$LC_ALL" = C ] && exec {real} "$@"\n{real} "$@" | sed "s/OK$/Réussi/"')
        push(make_bundle(files={"lib": b"library"}), device)
        assert push(make_bundle(version="2", files={"lib": b"library"}), device).kept_files == 2

    def test_modes_do_not_depend_on_the_users_mask(self, make_bundle, device: LocalConnection) -> None:
        old = os.umask(0o077)
        try:
            release = push(make_bundle(files={"a/b": b"x"}), device).release
        finally:
            os.umask(old)
        modes = {
            path: stat.S_IMODE((Path(release.path) / path).stat().st_mode)
            for path in ("", "a", "a/b", "run", MANIFEST_NAME)
        }
        assert modes == {"": 0o755, "a": 0o755, "a/b": 0o644, "run": 0o755, MANIFEST_NAME: 0o644}

    def test_without_hard_links_files_are_copied(
        self, make_bundle, device: LocalConnection, home: Path, tools: FakeTool
    ) -> None:
        """As on Android, and on some network file systems."""
        real = shutil.which("ln")
        tools("ln", f'[ "$1" = -s ] && exec {real} "$@"\necho "ln: Operation not permitted" >&2\nexit 1')
        bundle = make_bundle(files={"a/b/two  words ": b"x", "-rf": b"y"})
        release = push(bundle, device).release
        assert broken_files(device, release) == ""
        assert all(path.stat().st_nlink == 1 for path in Path(release.path).rglob("*") if path.is_file())
        assert not push(bundle, device).activated

    @pytest.mark.parametrize("how", ["changed", "removed", "manifest changed", "manifest removed"])
    def test_a_damaged_release_is_mended(self, make_bundle, device: LocalConnection, home: Path, how: str) -> None:
        bundle = make_bundle()
        release = push(bundle, device).release
        file = Path(release.path) / (MANIFEST_NAME if "manifest" in how else "model.onnx")
        if "removed" in how:
            file.unlink()
        else:
            damage(file, b"damaged")
        listing = list_releases(device)
        if "manifest" in how:
            assert listing.damaged == (f"model/{release.id}",)
            with pytest.raises(DeviceError, match="no current release"):
                current_release(device)
        else:
            assert "model.onnx" in broken_files(device, listing.releases[0])
        mended = push(bundle, device)
        assert mended.release.current
        assert broken_files(device, mended.release) == ""
        assert list_releases(device).damaged == ()
        assert mended.release.parent is None

    def test_a_release_that_was_moved_aside_when_the_power_went_comes_back(
        self, make_bundle, device: LocalConnection, home: Path
    ) -> None:
        release = push(make_bundle(), device).release
        folder = Path(release.path)
        folder.rename(folder.with_name(f"{folder.name}.replaced"))
        push(make_bundle(name="another"), device)
        assert current_release(device, "model").id == release.id
        assert not list(home.rglob("*.replaced"))

    def test_a_folder_that_is_not_ours_is_not_listed(self, make_bundle, device: LocalConnection, home: Path) -> None:
        release = push(make_bundle(), device).release
        (store(home) / "releases/model/my own copy").mkdir()
        (store(home) / "releases/Some Thing/x").mkdir(parents=True)
        listing = list_releases(device)
        assert (listing.releases, listing.damaged) == ((release,), ())

    def test_nothing_there(self, device: LocalConnection) -> None:
        assert releases(device) == ()
        with pytest.raises(DeviceError, match="no current release") as caught:
            current_release(device)
        assert "edgedeploy push" in caught.value.hint

    def test_the_longest_path(self, make_bundle, device: LocalConnection) -> None:
        path = "/".join(["d" * 199] * 4 + ["f" * 199])
        release = push(make_bundle(files={path: b"deep"}), device).release
        assert (Path(release.path) / path).read_bytes() == b"deep"

    @pytest.mark.parametrize("path", ["-", "-rf", " x", "x ", "a  b", "*", "$HOME", "it's", 'say "x"', "x: OK"])
    def test_odd_paths(self, make_bundle, device: LocalConnection, path: str) -> None:
        bundle = make_bundle(files={path: b"odd", f"folder/{path}": b"odder"})
        release = push(bundle, device).release
        assert (Path(release.path) / path).read_bytes() == b"odd"
        assert not push(bundle, device).activated
        damage(Path(release.path) / path, b"even")
        assert broken_files(device, release) != ""


class TestHealth:
    def test_unhealthy_changes_nothing(self, make_bundle, device: LocalConnection) -> None:
        good = push(make_bundle(), device).release
        with pytest.raises(DeviceError, match="is not healthy") as caught:
            push(make_bundle(version="2", healthy=False), device)
        assert '{"healthy":false}' in caught.value.why
        assert "loading model" in caught.value.why
        assert releases(device) == (good,)

    def test_what_the_device_says_does_not_command_the_terminal(self, make_bundle, device: LocalConnection) -> None:
        script = b"#!/bin/sh\nprintf '\\033]0;owned\\007 \\302\\233 no memory' >&2; exit 1\n"
        with pytest.raises(DeviceError, match="no memory") as caught:
            push(make_bundle(files={"run": script}), device)
        assert not {"\x1b", "\x07", "\x9b"} & set(str(caught.value))

    def test_unhealthy_at_first(self, make_bundle, device: LocalConnection) -> None:
        with pytest.raises(DeviceError, match="is not healthy"):
            push(make_bundle(healthy=False), device)
        assert releases(device) == ()

    def test_a_release_that_has_become_unhealthy_is_kept(
        self, make_bundle, device: LocalConnection, home: Path
    ) -> None:
        content = b'#!/bin/sh\n[ -e "$HOME/well" ]\n'
        bundle = make_bundle(files={"run": content})
        (home / "well").touch()
        release = push(bundle, device).release
        (home / "well").unlink()
        with pytest.raises(DeviceError, match="is not healthy"):
            push(bundle, device)
        assert releases(device) == (release,)

    def test_a_check_that_does_not_end(self, make_bundle, device: LocalConnection) -> None:
        good = push(make_bundle(), device).release
        bundle = make_bundle(version="2", files={"run": b"#!/bin/sh\nsleep 20\n"})
        with pytest.raises(DeviceError, match="did not end"):
            carry_out(PushRequest(bundle=bundle, check_timeout_s=0.3), device)
        assert releases(device) == (good,)

    def test_killed_as_memory_ran_out(self, make_bundle, device: LocalConnection) -> None:
        first = push(make_bundle(), device).release
        with pytest.raises(DeviceError, match="was killed on local: while its health was checked") as caught:
            push(make_bundle(version="2", files={"run": b"#!/bin/sh\nkill -KILL $$\n"}), device)
        assert "memory has run out" in caught.value.why
        assert releases(device) == (first,)

    @pytest.mark.parametrize(
        ("said", "words"),
        [(b'"peak_rss_bytes": 2097153', "2,097,153 bytes"), (b'"peak_rss_bytes": null', "an unknown amount")],
    )
    def test_more_memory_than_it_may_take(self, make_bundle, device: LocalConnection, said: bytes, words: str) -> None:
        first = push(make_bundle(), device).release
        run = b'#!/bin/sh\necho \'{"healthy": true, "golden_samples": 1, %s}\'\n' % said
        bundle = make_bundle(version="2", files={"run": run})
        with pytest.raises(DeviceError, match=f"took {words} of memory .*, and may take 2,097,152") as caught:
            push(bundle, device, max_memory_bytes=2 << 20)
        assert "edgedeploy optimize" in caught.value.hint
        assert releases(device) == (first,)
        assert read_log(device)[-1].event == "refused"
        if b"null" not in said:
            assert push(bundle, device, max_memory_bytes=3 << 20).peak_rss_bytes == 2097153


class TestConfirm:
    def test_the_users_own_command_has_the_last_word(self, make_bundle, device: LocalConnection, home: Path) -> None:
        command = (
            'cat .edgedeploy/current/model/model.onnx >seen; grep -q "version 1" seen || { echo "no such app"; false; }'
        )
        first = push(make_bundle(), device, confirm=command)
        assert (home / "seen").read_bytes() == b"the model, version 1"
        assert read_log(device)[-1].event == "confirmed"
        with pytest.raises(
            DeviceError, match=f"not confirmed on local:; {first.release.id} is current again"
        ) as caught:
            push(make_bundle(version="2"), device, confirm=command)
        assert caught.value.why == "no such app | exit status 1" and command in caught.value.hint
        assert current_release(device) == first.release
        *_, activated, back, taken = read_log(device)
        assert (activated.event, taken.event, back.event) == ("activated", "taken-back", "rolled-back")
        assert taken.detail == "no such app | exit status 1"
        assert status(device).running[0].health is None

    def test_where_nothing_was_before_nothing_is_current(
        self, make_bundle, device: LocalConnection, home: Path
    ) -> None:
        with pytest.raises(DeviceError, match="no release of model is current there"):
            push(make_bundle(), device, confirm="exit 3")
        assert not os.path.lexists(store(home) / "current/model")
        assert read_log(device)[-1].event == "taken-back"
        # The same bundle again, once the application is there: nothing is sent, and it is confirmed.
        again = push(make_bundle(), device, confirm="true")
        assert (again.sent_files, again.activated, again.release.current) == (0, True, True)

    def test_a_push_that_was_cut_before_it_was_confirmed(self, make_bundle, device: LocalConnection) -> None:
        first = push(make_bundle(), device).release
        second = push(make_bundle(version="2"), device).release
        with pytest.raises(DeviceError, match="is current again"):
            push(make_bundle(version="2"), device, confirm="false")
        assert current_release(device) == first
        assert second.id in {each.id for each in releases(device)}

    def test_where_the_way_back_is_damaged_it_stays(self, make_bundle, device: LocalConnection) -> None:
        first = push(make_bundle(), device).release
        damage(Path(first.path) / "run", b"#!/bin/sh\nexit 1\n")
        with pytest.raises(DeviceError, match=r"it stays current, since there is no way back: release .* is damaged"):
            push(make_bundle(version="2", files={"other": b"x"}), device, confirm="false")
        assert current_release(device).manifest.version == "2"

    def test_a_command_that_does_not_end(self, make_bundle, device: LocalConnection) -> None:
        first = push(make_bundle(), device).release
        request = PushRequest(bundle=make_bundle(version="2"), confirm="sleep 20", confirm_timeout_s=0.3)
        with pytest.raises(DeviceError, match="is current again") as caught:
            carry_out(request, device)
        assert "did not end" in caught.value.why
        assert current_release(device) == first

    def test_a_device_that_does_not_keep_the_link(self, make_bundle, device: LocalConnection, tools: FakeTool) -> None:
        first = push(make_bundle(), device).release
        tools("mv", 'case "$*" in -T*current*) exit 0 ;; esac; exec /bin/mv "$@"')
        with pytest.raises(DeviceError, match=r"did not keep 2-.* as the current release"):
            push(make_bundle(version="2"), device)
        assert current_release(device) == first


class TestRollback:
    def test_and_back_no_further(self, make_bundle, device: LocalConnection) -> None:
        first = push(make_bundle(), device).release
        second = push(make_bundle(version="2"), device).release
        assert rollback(device) == first
        assert current_release(device) == first
        with pytest.raises(DeviceError, match="no release before") as caught:
            rollback(device)
        assert "first" in caught.value.why
        assert push(make_bundle(version="2"), device).release == second

    def test_parent_of_the_parent(self, make_bundle, device: LocalConnection) -> None:
        ids = [push(make_bundle(version=version), device).release.id for version in "123"]
        assert rollback(device).id == ids[1]
        assert rollback(device).id == ids[0]

    def test_to_a_damaged_release_is_refused(self, make_bundle, device: LocalConnection) -> None:
        first = push(make_bundle(), device).release
        second = push(make_bundle(version="2"), device).release
        damage(Path(first.path) / "model.onnx", b"damaged")
        with pytest.raises(DeviceError, match="is damaged") as caught:
            rollback(device)
        assert "model.onnx" in caught.value.why
        assert current_release(device) == second

    def test_to_a_release_that_is_gone_is_refused(self, make_bundle, device: LocalConnection) -> None:
        first = push(make_bundle(), device).release
        push(make_bundle(version="2"), device)
        shutil.rmtree(first.path)
        with pytest.raises(DeviceError, match="no release before") as caught:
            rollback(device)
        assert first.id in caught.value.why

    def test_nothing_there(self, device: LocalConnection) -> None:
        with pytest.raises(DeviceError, match="no current release"):
            rollback(device)


class TestPreflight:
    def test_wrong_architecture(self, make_bundle, device: LocalConnection, home: Path) -> None:
        with pytest.raises(DeviceError, match="for sparc64"):
            push(make_bundle(architecture="sparc64"), device)
        assert not store(home).exists()

    def test_wrong_python(self, make_bundle, device: LocalConnection, home: Path) -> None:
        bundle = make_bundle()
        runtime = msgspec.structs.replace(bundle.manifest.runtime, python="2.6")
        with pytest.raises(DeviceError, match=r"needs Python 2\.6"):
            push(make_bundle(runtime=runtime), device)
        assert not store(home).exists()

    def test_another_python_than_its(self, make_bundle, device: LocalConnection, home: Path, tools: FakeTool) -> None:
        for name in ("python3", "python", *(f"python3.{minor}" for minor in range(9, 16))):
            tools(name, "echo 3.4 64 glibc 2.100")
        runtime = Runtime(backend="onnxruntime", python="3.11", glibc="2.36", packages={})
        with pytest.raises(DeviceError, match=r"needs Python 3\.11, and local: has Python 3\.4"):
            push(make_bundle(runtime=runtime), device)
        assert not store(home).exists()

    def test_a_shared_library_that_is_not_there(self, make_bundle, device: LocalConnection, home: Path) -> None:
        needs = Needs(shared_libraries=("libc.so.6", "libstdc++.so.7", "libblas.so.99"))
        with pytest.raises(
            DeviceError, match=r"programs need libstdc\+\+\.so\.7, libblas\.so\.99, and local: is"
        ) as caught:
            push(make_bundle(needs=needs), device)
        assert "--backend native" in caught.value.hint
        assert not store(home).exists()
        assert push(make_bundle(needs=Needs(shared_libraries=("libc.so.6",))), device).activated

    @pytest.mark.parametrize("name", ["$(reboot)", "../libc.so.6", "-rf", "a b", "x" * 65, ""])
    def test_what_is_no_name_of_a_library(self, make_bundle, name: str) -> None:
        sound = make_bundle()
        manifest = msgspec.structs.replace(sound.manifest, needs=Needs(shared_libraries=(name,)))
        with pytest.raises(IntegrityError, match="no name of a shared library"):
            push(msgspec.structs.replace(sound, manifest=manifest), Untouchable())

    def test_more_memory_was_measured_than_it_has(self, make_bundle, device: LocalConnection, home: Path) -> None:
        with pytest.raises(DeviceError, match=r"were measured, and local: has .* available") as caught:
            push(make_bundle(), device, peak_memory_bytes=1 << 50)
        assert "edgedeploy optimize" in caught.value.hint
        assert not store(home).exists()

    def test_an_instruction_that_the_cores_lack(self, make_bundle, device: LocalConnection, home: Path) -> None:
        """As wheels that were built on newer machines have: the runtime dies as soon as it is loaded."""
        first = push(make_bundle(), device).release
        dies = make_bundle(version="2", files={"run": b"#!/bin/sh\nkill -ILL $$\n"})
        with pytest.raises(DeviceError, match="uses an instruction that the cores of local: do not have") as caught:
            push(dies, device)
        assert "--backend" in caught.value.hint
        assert releases(device) == (first,)

    def test_python_says_what_is_expected_of_it(self, make_bundle, device: LocalConnection) -> None:
        """The real one, of the machine that runs the tests."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        runtime = Runtime(backend="onnxruntime", python=version, glibc="2.17", packages={})
        assert push(make_bundle(runtime=runtime), device).activated

    @pytest.mark.parametrize("tool", ["sha256sum", "tar"])
    def test_missing_tool(
        self, make_bundle, device: LocalConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
    ) -> None:
        tools = tmp_path / "tools"
        tools.mkdir()
        for name in [*re.findall("for tool in (.*);", TOOLS)[0].split(), "sh"]:
            if name != tool:
                (tools / name).symlink_to(str(shutil.which(name)))
        monkeypatch.setenv("PATH", str(tools))
        with pytest.raises(DeviceError, match=rf"has no {tool}\n"):
            push(make_bundle(), device)

    @pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
    def test_a_home_that_cannot_be_written(self, make_bundle, device: LocalConnection, home: Path) -> None:
        home.chmod(0o500)
        with pytest.raises(DeviceError, match="cannot be locked") as caught:
            push(make_bundle(), device)
        assert "home folder" in caught.value.hint


class Untouchable:
    """A device that must not be asked for anything."""

    address = "device"
    emulated = False
    counts_instructions = False

    def run(self, *_: object, **__: object) -> Completed:
        raise AssertionError("a command was run")

    start = run


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


class TestTransfer:
    def test_other_bytes_than_the_manifest_says_are_dropped(
        self, make_bundle, device: LocalConnection, home: Path
    ) -> None:
        good = push(make_bundle(), device).release
        bundle: Bundle = make_bundle(version="2", files={"weights": b"1234"})
        damage(bundle.path / "weights", b"1235")
        with pytest.raises(IntegrityError, match="dropped"):
            push(bundle, device)
        assert releases(device) == (good,)
        assert not [path for path in (store(home) / "staging").rglob("*") if path.read_bytes() == b"1235"]
        damage(bundle.path / "weights", b"1234")
        assert push(bundle, device).activated

    @pytest.mark.parametrize("content", [b"12", b"123456"])
    def test_a_file_of_another_size(self, make_bundle, device: LocalConnection, content: bytes) -> None:
        bundle: Bundle = make_bundle(files={"weights": b"1234"})
        damage(bundle.path / "weights", content)
        with pytest.raises(IntegrityError, match="manifest says 4"):
            push(bundle, device)
        assert releases(device) == ()

    def test_one_that_was_cut_off_does_not_disturb_the_next(self, device: LocalConnection, home: Path) -> None:
        """Its connection is lost, but its process ends only after the next push has begun to receive."""
        home.mkdir(exist_ok=True)
        (store(home)).mkdir()
        assert device.run(["sh", "-c", PREPARE]).exit_status == 0
        first = device.start(argv(STORE))
        second = device.start(argv(STORE))
        content = b"whole"
        name = hashlib.sha256(content).hexdigest()
        blob = Blob(home / "source", len(content))
        blob.path.write_bytes(content)
        archive = gzip.compress(b"".join(tar_of_blobs({name: blob})))
        second.stdin.write(archive[:60])
        second.stdin.flush()
        first.stdin.write(archive[:50])
        assert first.wait(30.0).exit_status != 0
        second.stdin.write(archive[60:])
        assert second.wait(30.0).exit_status == 0
        assert (store(home) / "blobs/sha256" / name).read_bytes() == content
        # What the first one had received, the next push looks at.
        assert device.run(["sh", "-c", PREPARE]).exit_status == 0
        assert list((store(home) / "staging").iterdir()) == []


class TestLock:
    def test_two_at_once(self, make_bundle, device: LocalConnection) -> None:
        with device_lock(device):
            with pytest.raises(BusyError, match=f"by .*@{os.uname().nodename}"):
                push(make_bundle(), device)
            with pytest.raises(BusyError):
                rollback(device)
        assert push(make_bundle(), device).activated

    def test_of_a_process_that_was_killed(self, make_bundle, device: LocalConnection, home: Path) -> None:
        holder = device.start(argv(LOCK, "somebody@host", "60"))
        assert holder.stdout.readline().startswith(b"locked ")
        holder.kill()
        assert (store(home) / "lock").is_symlink()
        assert push(make_bundle(), device).activated
        assert not (store(home) / "lock").is_symlink()

    def test_of_one_who_has_fallen_silent_is_given_up(self, make_bundle, device: LocalConnection) -> None:
        """Its machine lost its power or its network: the connection is open still, for hours."""
        holder = device.start(argv(LOCK, "somebody@host", "1"))
        assert holder.stdout.readline().startswith(b"locked ")
        assert holder.stdout.read() == b""  # ends by itself
        assert holder.wait(30.0).exit_status == 0
        assert push(make_bundle(), device).activated

    def test_of_one_who_is_heard_now_and_then_is_kept(self, make_bundle, device: LocalConnection, home: Path) -> None:
        with device_lock(device, beat_s=0.1, silence_s=1.0):
            begun_s = time.monotonic()
            while time.monotonic() - begun_s < 2.0:
                assert (store(home) / "lock").is_symlink()
                time.sleep(0.05)
            with pytest.raises(BusyError):
                push(make_bundle(), device)

    def test_that_was_lost_lets_nothing_change(self, make_bundle, device: LocalConnection, home: Path) -> None:
        """This machine slept while the health was checked, and another one has pushed since."""
        good = push(make_bundle(), device).release
        link = store(home) / "lock"
        another = b"#!/bin/sh\nln -sfn 'boot 1 another@there' \"$HOME/.edgedeploy/lock\"\n"
        with pytest.raises(BusyError, match="did not hear from us"):
            push(make_bundle(version="2", files={"run": another}), device)
        assert current_release(device) == good
        assert str(link.readlink()) == "boot 1 another@there"

    @pytest.mark.parametrize("target", ["another-boot {pid} me@there", "garbage", "", "{boot}", "{boot} x y"])
    def test_of_another_boot_or_of_nobody(self, make_bundle, device: LocalConnection, home: Path, target: str) -> None:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        store(home).mkdir()
        (store(home) / "lock").symlink_to(target.format(pid=os.getpid(), boot=boot) or " ")
        assert push(make_bundle(), device).activated

    def test_of_a_living_process_of_this_boot(self, make_bundle, device: LocalConnection, home: Path) -> None:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        store(home).mkdir()
        for name, held in (("edgedeploy", True), ("another program with its number", False)):
            process = subprocess.Popen(["sh", "-c", "sleep 60; exit", name])
            try:
                (store(home) / "lock").symlink_to(f"{boot} {process.pid} me@there")
                if held:
                    with pytest.raises(BusyError, match="me@there"):
                        push(make_bundle(), device)
                    (store(home) / "lock").unlink()
                else:
                    assert push(make_bundle(), device).activated
            finally:
                process.kill()
                process.wait()


class TestBusybox:
    """On a device whose tools are all busybox's."""

    @pytest.fixture
    def device(self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalConnection:
        busybox = shutil.which("busybox")
        if busybox is None:
            pytest.skip("needs busybox: apt-get install busybox")
        applets = tmp_path / "applets"
        applets.mkdir()
        for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
            (applets / name).symlink_to(busybox)
        monkeypatch.setenv("PATH", str(applets))
        return LocalConnection("local:", home)

    def test_all_of_it(self, make_bundle, device: LocalConnection, home: Path) -> None:
        files = {"runtime/lib": os.urandom(3 << 20), "two words/-x": b"", "it's": b"y"}
        first = push(make_bundle(files=files), device).release
        assert not push(make_bundle(files=files), device).activated
        second = push(make_bundle(version="2", files=files), device)
        # Its manifest and the model are new.
        assert second.sent_files == 2
        with device_lock(device), pytest.raises(BusyError):
            push(make_bundle(version="3"), device)
        damage(Path(second.release.path) / "model.onnx", b"damaged")
        assert "model.onnx" in broken_files(device, second.release)
        assert push(make_bundle(version="2", files=files), device).sent_files == 1
        with pytest.raises(DeviceError, match="is not healthy"):
            push(make_bundle(version="3", healthy=False), device)
        assert rollback(device).id == first.id
        damage(Path(second.release.path) / "runtime/lib", b"damaged")
        with pytest.raises(IntegrityError, match="dropped"):
            bundle = make_bundle(version="4", files={"weights": b"1234"})
            damage(bundle.path / "weights", b"1235")
            push(bundle, device)
        assert [release.current for release in releases(device)] == [True, False]
        assert list((store(home) / "staging").iterdir()) == []

    def test_a_lock_is_given_up(self, device: LocalConnection) -> None:
        holder = device.start(argv(LOCK, "somebody@host", "1"))
        assert holder.stdout.readline().startswith(b"locked ")
        assert holder.wait(30.0).exit_status == 0
