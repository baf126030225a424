"""Transfers that were cut, and what the next push makes of what they brought."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgedeploy.deploy.push import PushResult, push
from edgedeploy.deploy.releases import releases
from edgedeploy.deploy.scripts.receiving import APPEND, DAMAGED, STORE
from edgedeploy.deploy.scripts.running import argv
from edgedeploy.deploy.transfer.blobs import Blob
from edgedeploy.deploy.transfer.streams import tar_of_blobs
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.connection import Completed
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import IntegrityError
from edgedeploy.values.bundle import Bundle

pytestmark = pytest.mark.slow

MIB = 1 << 20


class Cut(Exception):
    """The client's end."""


class DyingClient(LocalConnection):
    """The device gets so many bytes of the next contents, as they go over the network, and the client dies."""

    def __init__(self, home: Path, limit_bytes: int) -> None:
        super().__init__("local:", home)
        self._limit_bytes = limit_bytes

    def run(self, argv: Sequence[str], *, stdin: bytes | Iterable[bytes] = b"", timeout_s: float = 60.0) -> Completed:
        if STORE not in argv[2] and APPEND not in argv[2]:
            return super().run(argv, stdin=stdin, timeout_s=timeout_s)
        super().run(argv, stdin=b"".join(stdin)[: self._limit_bytes], timeout_s=timeout_s)
        raise Cut


def push_cut_after(bundle: Bundle, home: Path, limit_bytes: int) -> None:
    with pytest.raises(Cut):
        push(bundle, DyingClient(home, limit_bytes))


def pushed(bundle: Bundle, device: LocalConnection) -> PushResult:
    result = push(bundle, device)
    assert broken_files(device, result.release) == ""
    return result


def partial(home: Path) -> dict[str, int]:
    folder = home / ".edgedeploy/partial"
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def test_one_large_file_goes_on_at_the_byte(make_bundle, device: LocalConnection, home: Path) -> None:
    bundle = make_bundle(files={"weights": os.urandom(8 * MIB)})
    sent = 0
    for size_bytes in (3 * MIB, 2 * MIB + 12_345):
        push_cut_after(bundle, home, size_bytes)
        sent += size_bytes
    result = pushed(bundle, device)
    # What it received, but for what gzip and tar had not passed on, and the other files.
    assert sent - 300_000 < result.resumed_bytes <= sent
    assert result.sent_bytes + result.resumed_bytes <= bundle.size_bytes
    assert partial(home) == {}


def test_files_that_came_whole_are_not_sent_again(make_bundle, device: LocalConnection, home: Path) -> None:
    bundle = make_bundle(files={f"part{number}": os.urandom(MIB) for number in range(8)})
    push_cut_after(bundle, home, 5 * MIB)
    result = pushed(bundle, device)
    assert result.kept_files >= 4
    assert result.sent_bytes < 4.5 * MIB


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_cut_anywhere_and_often(make_bundle, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    home = tmp_path_factory.mktemp("device")
    device = LocalConnection("local:", home)
    sizes = data.draw(st.lists(st.integers(0, MIB), min_size=1, max_size=4))
    bundle = make_bundle(files={f"part{number}": os.urandom(size) for number, size in enumerate(sizes)})
    for limit_bytes in data.draw(st.lists(st.integers(0, sum(sizes)), max_size=3)):
        push_cut_after(bundle, home, limit_bytes)
    result = pushed(bundle, device)
    assert result.activated and partial(home) == {}


def test_what_a_power_cut_left_in_staging_is_gone_on_with(make_bundle, device: LocalConnection, home: Path) -> None:
    content = os.urandom(4 * MIB)
    bundle = make_bundle(files={"weights": content})
    sha256 = next(entry.sha256 for entry in bundle.manifest.files if entry.path == "weights")
    left = home / ".edgedeploy/staging/4711/blobs"
    left.mkdir(parents=True)
    (left / sha256).write_bytes(content[: 3 * MIB])
    assert pushed(bundle, device).resumed_bytes == 3 * MIB


@pytest.mark.parametrize("made", ["zeros", "longer", "flipped", "short"])
def test_a_beginning_that_is_none_is_sent_again(make_bundle, device: LocalConnection, home: Path, made: str) -> None:
    content = os.urandom(2 * MIB)
    bundle = make_bundle(files={"weights": content})
    sha256 = next(entry.sha256 for entry in bundle.manifest.files if entry.path == "weights")
    folder = home / ".edgedeploy/partial"
    folder.mkdir(parents=True)
    beginnings = {
        # As a file system leaves the end of a file that it had not written when the power went.
        "zeros": content[:MIB] + bytes(4096),
        "longer": content + b"x",
        "flipped": b"x" + content[1:MIB],
        "short": content[:1000],
    }
    (folder / sha256).write_bytes(beginnings[made])
    result = pushed(bundle, device)
    assert (result.resumed_bytes, result.sent_bytes) == (0, bundle.size_bytes)
    assert partial(home) == {}


def test_beginnings_of_what_nobody_wants_are_removed(make_bundle, device: LocalConnection, home: Path) -> None:
    folder = home / ".edgedeploy/partial"
    folder.mkdir(parents=True)
    (folder / ("0" * 64)).write_bytes(b"x" * MIB)
    (folder / "a file of somebody's").write_bytes(b"")
    pushed(make_bundle(), device)
    assert partial(home) == {}


def test_pushes_of_other_models_between_take_nothing_away(make_bundle, device: LocalConnection, home: Path) -> None:
    """Two that are sent in turn over a bad network both arrive."""
    bundle = make_bundle(files={f"part{number}": os.urandom(MIB) for number in range(8)})
    push_cut_after(bundle, home, 5 * MIB)
    pushed(make_bundle(name="other"), device)
    push_cut_after(make_bundle(name="third", files={"weights": os.urandom(2 * MIB)}), home, MIB)
    pushed(make_bundle(name="other"), device)
    result = pushed(bundle, device)
    assert result.kept_files >= 4
    assert result.sent_bytes < 4.5 * MIB
    # Its own is what is left of the third.
    assert [path.name for path in (home / ".edgedeploy/partial").glob(".wanted.*")] == [".wanted.third"]


def test_what_never_goes_on_does_not_stay_for_ever(make_bundle, device: LocalConnection, home: Path) -> None:
    for name in ("first", "second", "third"):
        parts = {f"part{number}": os.urandom(MIB) for number in range(3)}
        push_cut_after(make_bundle(name=name, files=parts), home, 2 * MIB)
    pushed(make_bundle(), device)
    kept_bytes = sum(path.stat().st_size for path in (home / ".edgedeploy").rglob("*") if path.is_file())
    assert 2 * MIB < kept_bytes < 5 * MIB
    assert len(list((home / ".edgedeploy/partial").glob(".wanted.*"))) == 2


def test_a_file_that_changed_since_it_was_cut_is_refused(make_bundle, device: LocalConnection, home: Path) -> None:
    content = os.urandom(2 * MIB)
    bundle = make_bundle(files={"weights": content})
    sha256 = next(entry.sha256 for entry in bundle.manifest.files if entry.path == "weights")
    folder = home / ".edgedeploy/partial"
    folder.mkdir(parents=True)
    (folder / sha256).write_bytes(content[:MIB])
    (bundle.path / "weights").write_bytes(content[:MIB] + os.urandom(MIB))
    with pytest.raises(IntegrityError, match="received other bytes"):
        push(bundle, device)
    assert releases(device) == () and partial(home) == {}


@pytest.mark.parametrize(
    "answer",
    [
        b"begun {sha256} -1 x",
        b"begun {sha256} 99999999999999999999999999999999 x",
        b"begun {sha256} 1048576",
        b"begun ../../x 1048576 x",
        b"begun {sha256} 1048576 $(reboot)",
        b"whole ../../x",
        b"\xff\x1b]0;x\x07",
    ],
)
def test_a_device_that_lies_of_what_it_has(make_bundle, home: Path, answer: bytes) -> None:
    """Everything is sent; what it then says that it has is none of ours."""

    class Liar(LocalConnection):
        def run(self, argv, **more) -> Completed:  # type: ignore[no-untyped-def]
            completed = super().run(argv, **more)
            if "staging/wanted" not in argv[2]:
                return completed
            return Completed(exit_status=0, stdout=said, stderr=b"")

    bundle = make_bundle(files={"weights": os.urandom(2 * MIB)})
    sha256 = next(entry.sha256 for entry in bundle.manifest.files if entry.path == "weights")
    said = answer.replace(b"{sha256}", sha256.encode())
    result = push(bundle, Liar("local:", home))
    assert (result.resumed_bytes, result.sent_bytes) == (0, bundle.size_bytes)


def test_other_bytes_than_their_name_says_are_dropped(device: LocalConnection, home: Path) -> None:
    (home / ".edgedeploy/staging").mkdir(parents=True)
    blob = Blob(home / "x", 3)
    blob.path.write_bytes(b"abc")
    packed = gzip.compress(b"".join(tar_of_blobs({"0" * 64: blob})))
    assert device.run(argv(STORE), stdin=packed).exit_status == DAMAGED
    assert list((home / ".edgedeploy/staging").iterdir()) == []
