"""Which releases stay, and that what they are made of does."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import current_release, list_releases, releases, rollback
from edgedeploy.deploy.retention import superseded
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.local import LocalConnection
from edgedeploy.values.bundle import Release

pytestmark = pytest.mark.slow


def release(identity: str, parent: str | None, current: bool = False, name: str = "model") -> Release:
    return cast(Release, SimpleNamespace(name=name, id=identity, parent=parent, current=current))


@given(st.data(), st.integers(2, 4))
def test_the_current_one_and_the_one_before_always_stay(data: st.DataObject, keep: int) -> None:
    names = [str(number) for number in range(data.draw(st.integers(0, 7)))]
    current = data.draw(st.sampled_from([*names, None])) if names else None
    there = [
        release(name, data.draw(st.sampled_from([*names, "gone", None])), current=name == current) for name in names
    ]
    gone = {one.id for one in superseded([*there, release("x", None, True, name="other")], "model", keep)}
    if current is None:
        assert not gone
        return
    parent = next(one.parent for one in there if one.id == current)
    assert current not in gone and parent not in gone
    assert len(names) - len(gone) == min(keep, len(names))


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        superseded([], "model", 1)


def test_old_ones_go_and_the_others_are_whole(make_bundle, tmp_path: Path) -> None:
    device = LocalConnection("local:", tmp_path / "device")
    push(make_bundle(name="other", files={"shared": b"s" * 5000}), device)
    made = [push(make_bundle(version=version, files={"shared": b"s" * 5000}), device, keep=3) for version in "12345"]
    assert [result.retired for result in made] == [(), (), (), (made[0].release.id,), (made[1].release.id,)]
    left = {one.id for one in releases(device) if one.name == "model"}
    assert left == {result.release.id for result in made[2:]}
    assert not any(broken_files(device, one) for one in releases(device))
    assert rollback(device, "model").id == made[3].release.id
    # Taken back, the fifth is the first to go.
    sixth = push(make_bundle(version="6", files={"shared": b"s" * 5000}), device, keep=2)
    assert set(sixth.retired) == {made[2].release.id, made[4].release.id}
    assert current_release(device, "model").parent == made[3].release.id


def test_what_cannot_be_removed_stops_no_push(make_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = LocalConnection("local:", tmp_path / "device")
    for version in "12":
        push(make_bundle(version=version), device, keep=2)
    monkeypatch.setattr("edgedeploy.deploy.store.UNINSTALL", "echo 'Input/output error' >&2; exit 1")
    third = push(make_bundle(version="3"), device, keep=2)
    assert third.activated and third.retired == () and third.release.current


def test_a_damaged_one_goes_with_the_next_push(make_bundle, tmp_path: Path) -> None:
    device = LocalConnection("local:", tmp_path / "device")
    first = push(make_bundle(), device).release
    second = push(make_bundle(version="2"), device).release
    (Path(first.path) / "manifest.json").unlink()
    (Path(second.path) / "manifest.json").unlink()
    third = push(make_bundle(version="3"), device)
    assert third.release.current and set(third.retired) == {first.id, second.id}
    assert list_releases(device).damaged == ()


def test_one_that_another_version_made_stays(make_bundle, tmp_path: Path) -> None:
    device = LocalConnection("local:", tmp_path / "device")
    content = b'{"schema": 99}'
    folder = tmp_path / "device/.edgedeploy/releases/model" / f"9-{hashlib.sha256(content).hexdigest()[:12]}"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(content)
    push(make_bundle(), device)
    push(make_bundle(version="2"), device, keep=2)
    listing = list_releases(device)
    assert (listing.damaged, listing.unreadable) == ((), (f"model/{folder.name}",))
