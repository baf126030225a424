"""Home folders in which no release can live: each is told, with what would help, before anything is sent."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import list_releases, rollback
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError

pytestmark = pytest.mark.slow


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator:
    """A maker of a file system with options of mount(8)."""
    if os.getuid() != 0:
        pytest.skip("mounting a file system needs root")
    place = tmp_path / "mounted"

    def make(options: str) -> Path:
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "edgedeploy-test", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted: {done.stderr.strip()}")
        return place

    yield make
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


def refused(make_bundle, device: LocalConnection, **changes: object) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        push(make_bundle(**changes), device)
    return caught.value


def left(home: Path) -> list[str]:
    return [path.name for path in home.rglob("*") if path.is_file() or "model" in path.name]


def test_a_path_over_two_lines(make_bundle, tmp_path: Path) -> None:
    device = LocalConnection("local:", tmp_path / "two\nlines")
    error = refused(make_bundle, device)
    assert "home folder has a line break" in error.why
    assert error.hint == "give the user a home folder whose path is one line"
    assert not list((tmp_path / "two\nlines").iterdir())
    with pytest.raises(DeviceError, match="list its releases") as caught:
        list_releases(device)
    assert "line break" in caught.value.why


def test_no_programs(make_bundle, mounted) -> None:
    home = mounted("noexec")
    error = refused(make_bundle, LocalConnection("local:", home))
    assert "starts no program" in error.what
    assert "noexec" in error.why
    assert "remount,exec" in error.hint
    assert left(home) == []


def test_few_inodes(make_bundle, mounted) -> None:
    home = mounted("nr_inodes=120")
    device = LocalConnection("local:", home)
    push(make_bundle(), device)
    before = sorted(home.rglob("*"))
    error = refused(make_bundle, device, version="2", files={f"file{number}": b"%d" % number for number in range(60)})
    assert "not enough inodes" in error.what
    assert "df -i" in error.hint
    assert [path for path in sorted(home.rglob("*")) if path.name != "log"] == [p for p in before if p.name != "log"]


def test_no_inodes(make_bundle, mounted) -> None:
    home = mounted("nr_inodes=120")
    device = LocalConnection("local:", home)
    first = push(make_bundle(), device).release
    push(make_bundle(version="2"), device)
    (home / "full").mkdir()
    bytecode = Path(first.path) / ".bytecode"
    bytecode.mkdir()
    for number in range(12):
        (bytecode / str(number)).touch()
    with pytest.raises(OSError, match="No space"):
        for number in range(1000):
            (home / "full" / str(number)).touch()
    assert rollback(device).id == first.id
    for number in range(1000, 2000):
        try:
            (home / "full" / str(number)).touch()
        except OSError:
            break
    error = refused(make_bundle, device, version="3")
    assert "inodes" in error.why
    assert "df -i" in error.hint


def test_no_links(make_bundle, device: LocalConnection, tools, home: Path) -> None:
    """As on FAT."""
    tools("ln", 'echo "ln: $2: Operation not permitted" >&2; exit 1')
    error = refused(make_bundle, device)
    assert "no symbolic links" in error.why
    assert "ext4" in error.hint
    assert left(home) == []


def test_a_mv_that_renames_no_link(make_bundle, device: LocalConnection, tools, home: Path) -> None:
    real = shutil.which("mv")
    tools("mv", f'case "$1" in -T|-h) echo "mv: unrecognized option" >&2; exit 1 ;; esac\nexec {real} "$@"')
    error = refused(make_bundle, device)
    assert "switch releases in one step" in error.what
    assert "coreutils" in error.hint
    assert left(home) == []


def test_a_mv_of_bsd(make_bundle, device: LocalConnection, tools) -> None:
    real = shutil.which("mv")
    tools("mv", f'case "$1" in -T) exit 1 ;; -h) shift; exec {real} -T "$@" ;; esac\nexec {real} "$@"')
    first = push(make_bundle(), device).release
    assert push(make_bundle(version="2"), device).activated
    assert rollback(device).id == first.id
