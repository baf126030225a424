"""What no release needs goes: after a refusal at once, else with the next push; and `status` says what is there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.device_store import FakeTool, damage, store, tree

from edgedeploy.cli.main import cli
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import releases
from edgedeploy.deploy.scripts.verifying import HEALTH
from edgedeploy.deploy.status import status
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.connection import Completed
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError, IntegrityError, UnreachableError
from edgedeploy.values.bundle import Bundle

pytestmark = pytest.mark.slow

MIB = 1 << 20


def blobs(home: Path) -> Path:
    return store(home) / "blobs/sha256"


def leave_content(home: Path, size_bytes: int) -> str:
    """Put content there that is no release's, as a refused push of an older edgedeploy left it."""
    content = os.urandom(size_bytes)
    name = hashlib.sha256(content).hexdigest()
    blobs(home).mkdir(parents=True, exist_ok=True)
    (blobs(home) / name).write_bytes(content)
    return name


class CutWhileChecking(LocalConnection):
    """Its connection is lost as the release's own check is to be run."""

    def run(self, argv: Sequence[str], **more: Any) -> Completed:
        if HEALTH in argv:
            raise UnreachableError("connection lost")
        return super().run(argv, **more)


class TestRefused:
    def unhealthy(self, bundle: Bundle, device: LocalConnection) -> None:
        with pytest.raises(DeviceError, match="is not healthy"):
            push(bundle, device)

    def too_large(self, bundle: Bundle, device: LocalConnection) -> None:
        with pytest.raises(DeviceError, match="of memory"):
            push(bundle, device, max_memory_bytes=1)

    def of_an_unknown_signer(self, bundle: Bundle, device: LocalConnection) -> None:
        with pytest.raises(DeviceError, match="does not accept the signature"):
            push(bundle, device, signature=b"none")

    def changed_since_it_was_compiled(self, bundle: Bundle, device: LocalConnection) -> None:
        damage(bundle.path / "weights", b"w" * 999 + b"x")
        with pytest.raises(IntegrityError, match="dropped"):
            push(bundle, device)

    @pytest.mark.parametrize(
        "refuse",
        [unhealthy, too_large, of_an_unknown_signer, changed_since_it_was_compiled],
        ids=lambda each: each.__name__,
    )
    @pytest.mark.parametrize("is_first", [True, False])
    def test_nothing_of_it_stays(
        self,
        make_bundle,
        device: LocalConnection,
        home: Path,
        refuse: Callable[[object, Bundle, LocalConnection], None],
        is_first: bool,
    ) -> None:
        if not is_first:
            push(make_bundle(name="another"), device)
            push(make_bundle(), device)
        before = tree(home)
        if refuse is TestRefused.of_an_unknown_signer:
            store(home).mkdir(parents=True, exist_ok=True)
            (store(home) / "allowed_signers").write_text("nobody@example.com ssh-ed25519 AAAA\n")
        healthy = refuse is not TestRefused.unhealthy
        refuse(self, make_bundle(version="2", healthy=healthy, files={"weights": b"w" * 1000}), device)
        assert tree(home) == before or tree(home).keys() - before.keys() == {".edgedeploy/allowed_signers"}
        assert (store(home) / "releases/model").exists() is not is_first

    @pytest.mark.parametrize("is_first", [True, False])
    def test_also_what_a_push_had_brought_that_was_cut_before_it_was_refused(
        self, make_bundle, device: LocalConnection, home: Path, is_first: bool
    ) -> None:
        if not is_first:
            push(make_bundle(), device)
        before = tree(home)
        bundle = make_bundle(version="2", healthy=False)
        with pytest.raises(UnreachableError):
            push(bundle, CutWhileChecking("local:", home))
        assert [release.manifest.version for release in releases(device)][-1] == "2"
        self.unhealthy(bundle, device)
        assert tree(home) == before

    def test_but_not_what_was_current(self, make_bundle, device: LocalConnection, home: Path) -> None:
        bundle = make_bundle(files={"run": b'#!/bin/sh\n[ ! -e "$HOME/ill" ]\n'})
        push(bundle, device)
        push(make_bundle(version="2"), device)
        before = tree(home)
        (home / "ill").touch()
        self.unhealthy(bundle, device)
        (home / "ill").unlink()
        assert tree(home) == before

    def test_what_another_release_has_stays(self, make_bundle, device: LocalConnection) -> None:
        shared = {"runtime/lib": b"l" * 5000}
        release = push(make_bundle(files=shared), device).release
        with pytest.raises(DeviceError, match="is not healthy"):
            push(make_bundle(version="2", files=shared, healthy=False), device)
        assert broken_files(device, release) == ""
        assert push(make_bundle(version="3", files=shared), device).kept_files == 2


class TestEveryPush:
    @pytest.mark.parametrize("version", ["1", "2"])
    def test_sweeps_what_is_no_releases(self, make_bundle, device: LocalConnection, home: Path, version: str) -> None:
        """Whether it has something to send or not."""
        push(make_bundle(), device)
        left = leave_content(home, 1000)
        (store(home) / "partial" / ("0" * 64)).write_bytes(b"x")
        push(make_bundle(version=version), device)
        assert not (blobs(home) / left).exists()
        assert list((store(home) / "partial").iterdir()) == []
        assert all(broken_files(device, release) == "" for release in releases(device))

    def test_before_it_needs_the_room(self, make_bundle, small_disk: Callable[[int], Path]) -> None:
        """Also of what an interrupted transfer was to bring, when there is no room for both."""
        home = small_disk(20)
        device = LocalConnection("local:", home)
        release = push(make_bundle(), device).release
        left = [leave_content(home, 6 * MIB), leave_content(home, 6 * MIB)]
        (store(home) / "partial/.wanted.other").write_text(f"{left[0]}\n")
        assert push(make_bundle(version="2", files={"weights": os.urandom(8 * MIB)}), device).activated
        assert not any((blobs(home) / each).exists() for each in left)
        assert list((store(home) / "partial").iterdir()) == []
        assert broken_files(device, release) == ""

    def test_also_where_the_disk_is_full_to_the_last_byte(self, make_bundle, small_disk: Callable[[int], Path]) -> None:
        home = small_disk(16)
        device = LocalConnection("local:", home)
        push(make_bundle(), device)
        leave_content(home, 4 * MIB)
        left = blobs(home) / ("ab" * 32)
        with pytest.raises(OSError, match="No space left"), left.open("wb", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:
                pass
            raise OSError("No space left")
        assert push(make_bundle(version="2"), device).activated
        assert not left.exists()

    def test_that_cannot_sweep_goes_on(self, make_bundle, device: LocalConnection, home: Path, tools: FakeTool) -> None:
        push(make_bundle(), device)
        leave_content(home, 10)
        real = shutil.which("xargs")
        tools("xargs", f'case "$*" in *"rm -f") echo "Input/output error" >&2; exit 1 ;; esac\nexec {real} "$@"')
        assert push(make_bundle(version="2"), device).activated


class TestStatus:
    def test_says_what_the_store_holds(self, make_bundle, device: LocalConnection, home: Path) -> None:
        bundle = make_bundle()
        push(bundle, device)
        held = status(device).store
        assert (held.files, held.size_bytes) == (3, bundle.size_bytes)
        assert (held.unneeded_files, held.unneeded_bytes, held.partial_bytes) == (0, 0, 0)
        leave_content(home, 3 * MIB)
        (store(home) / "partial" / ("0" * 64)).write_bytes(b"x" * MIB)
        held = status(device).store
        assert (held.unneeded_files, held.unneeded_bytes, held.partial_bytes) == (1, 3 * MIB, MIB)
        shown = CliRunner().invoke(cli, ["status", f"local:{home}"], standalone_mode=False).stdout
        assert "store       4 files" in shown and "in 1 that no release needs" in shown
        told = json.loads(CliRunner().invoke(cli, ["status", f"local:{home}", "--json"], standalone_mode=False).stdout)
        assert told["store"]["unneeded_bytes"] == 3 * MIB

    def test_of_a_device_without_anything(self, device: LocalConnection) -> None:
        assert status(device).store.files == 0
