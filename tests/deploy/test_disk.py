"""A disk that is full, or cannot be written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import releases, rollback
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError

SmallDisk = Callable[[int], Path]

MUCH_ROOM = "echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'; echo 'disk 9999999 1 9999998 1% /'"
"""What df says where somebody else takes the room after it was asked for."""


pytestmark = pytest.mark.slow


def used_bytes(place: Path) -> int:
    facts = os.statvfs(place)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def test_not_enough_room_is_told_before_anything_is_sent(make_bundle, small_disk: SmallDisk) -> None:
    device = LocalConnection("local:", small_disk(12))
    release = push(make_bundle(), device).release
    with pytest.raises(DeviceError, match="not enough room") as caught:
        push(make_bundle(version="2", files={"weights": os.urandom(6 << 20)}), device)
    assert "bytes are free" in caught.value.why
    assert releases(device) == (release,)


def test_a_disk_that_fills_while_it_is_sent(
    make_bundle, small_disk: SmallDisk, tools: Callable[[str, str], None]
) -> None:
    place = small_disk(4)
    device = LocalConnection("local:", place)
    tools("df", MUCH_ROOM)
    release = push(make_bundle(), device).release
    before = used_bytes(place)
    bundle = make_bundle(version="2", files={f"weights{number}": os.urandom(1 << 20) for number in range(6)})
    with pytest.raises(DeviceError, match="cannot store what it was sent") as caught:
        push(bundle, device)
    assert "No space left" in caught.value.why
    assert "free space" in caught.value.hint
    assert releases(device) == (release,)
    assert broken_files(device, release) == ""
    # What was received has been removed again, as the message says.
    assert used_bytes(place) - before < 64 << 10


def test_a_disk_that_is_full_to_the_last_byte(
    make_bundle, small_disk: SmallDisk, tools: Callable[[str, str], None]
) -> None:
    place = small_disk(4)
    device = LocalConnection("local:", place)
    tools("df", MUCH_ROOM)
    first = push(make_bundle(), device).release
    second = push(make_bundle(version="2"), device).release
    with pytest.raises(OSError, match="No space left"), (place / "log").open("wb", buffering=0) as file:
        while file.write(bytes(4096)) == 4096:
            pass
        raise OSError("No space left")
    with pytest.raises(DeviceError, match="cannot"):
        push(make_bundle(version="3"), device)
    assert [release.current for release in releases(device)] == [False, True]
    # The way back takes no room.
    assert rollback(device).id == first.id
    (place / "log").unlink()
    assert push(make_bundle(version="3"), device).release.parent == first.id
    assert second.id in [release.id for release in releases(device)]


def test_a_file_system_that_cannot_be_written(make_bundle, small_disk: SmallDisk) -> None:
    place = small_disk(12)
    device = LocalConnection("local:", place)
    push(make_bundle(), device)
    release = push(make_bundle(version="2"), device).release
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    for act in (lambda: push(make_bundle(version="3"), device), lambda: rollback(device)):
        with pytest.raises(DeviceError, match="cannot be locked") as caught:
            act()
        assert "Read-only file system" in caught.value.why
        assert "mount" in caught.value.hint
    assert releases(device)[1] == release


def test_a_new_device_that_cannot_be_written(make_bundle, small_disk: SmallDisk) -> None:
    place = small_disk(12)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    with pytest.raises(DeviceError, match="cannot be locked") as caught:
        push(make_bundle(), LocalConnection("local:", place))
    assert "mount" in caught.value.hint


def test_where_nothing_may_be_run_nothing_stays(make_bundle, small_disk: SmallDisk) -> None:
    place = small_disk(24)
    subprocess.run(["mount", "-o", "remount,noexec", str(place)], check=True)
    device = LocalConnection("local:", place)
    with pytest.raises(DeviceError, match="starts no program") as caught:
        push(make_bundle(files={"weights": os.urandom(4 << 20)}), device)
    assert "noexec" in caught.value.why
    assert releases(device) == ()
    assert used_bytes(place) < 64 << 10
