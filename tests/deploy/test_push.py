"""Pushing and transferring, on this machine as the device, with its own tools and with busybox's."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from support.device_store import FakeTool, damage, store, tree

from edgedeploy.bundle.archive import write_edge_file
from edgedeploy.bundle.build import open_bundle
from edgedeploy.deploy.lock import device_lock
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import current_release, list_releases, releases, rollback
from edgedeploy.deploy.scripts.locking import LOCK
from edgedeploy.deploy.scripts.receiving import PREPARE, STORE
from edgedeploy.deploy.scripts.running import argv
from edgedeploy.deploy.transfer.blobs import Blob
from edgedeploy.deploy.transfer.streams import tar_of_blobs
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import BusyError, DeviceError, IntegrityError, UnknownNameError
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle

pytestmark = pytest.mark.slow


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
        assert modes == {"": 0o755, "a": 0o755, "a/b": 0o444, "run": 0o555, MANIFEST_NAME: 0o444}

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
