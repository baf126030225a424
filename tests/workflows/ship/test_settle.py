"""Which release stays current after a `ship`, one that was stopped at any point included."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import structs

from edgedeploy.cli.main import cli
from edgedeploy.deploy.device_log import read_log
from edgedeploy.deploy.push import carry_out, push
from edgedeploy.deploy.releases import current_release, find_release, list_releases, rollback
from edgedeploy.deploy.request import PushRequest
from edgedeploy.deploy.status import status
from edgedeploy.deploy.store import open_store
from edgedeploy.device.connection import Completed, Connection
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError, UnreachableError
from edgedeploy.foundation.files import sha256_file
from edgedeploy.foundation.progress import SILENT
from edgedeploy.values.bundle import Bundle, Release
from edgedeploy.values.contract import Outcome, Verdict
from edgedeploy.workflows.ship.settle import settle, unsettled

pytestmark = pytest.mark.slow

Push = Callable[[str], Release]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "a device's home"


@pytest.fixture
def device(home: Path) -> LocalConnection:
    return LocalConnection("local:", home)


@pytest.fixture
def stopped_ship(make_bundle: Callable[..., Bundle], device: LocalConnection) -> Push:
    """All that a `ship` of a version does to the device when it is stopped before its verdict."""

    def ship(version: str) -> Release:
        request = PushRequest(bundle=make_bundle(version=version), awaits_verdict=True)
        return carry_out(request, device).release

    return ship


@pytest.fixture
def shipped(stopped_ship: Push, device: LocalConnection) -> Push:
    """A `ship` of a version whose contract holds."""

    def ship(version: str) -> Release:
        release = stopped_ship(version)
        assert judged(device, release, Outcome.HOLDS) == (True, ())
        return current_release(device)

    return ship


class Cut(LocalConnection):
    """Its connection is lost at the first command that has a word."""

    def __init__(self, home: Path, word: str) -> None:
        super().__init__("local:", home)
        self._word = word

    def run(self, argv: Sequence[str], **more: Any) -> Completed:
        if self._word in argv:
            raise UnreachableError("connection lost")
        return super().run(argv, **more)


def judged(device: Connection, release: Release, outcome: Outcome) -> tuple[bool, tuple[str, ...]]:
    return settle(device, release, Verdict(contract="c", outcome=outcome, lines=()), SILENT)


class TestStopped:
    def test_between_push_and_verdict(self, shipped: Push, stopped_ship: Push, device: LocalConnection) -> None:
        first = shipped("1")
        second = stopped_ship("2")
        assert second.awaits_verdict and second.parent == first.id
        assert current_release(device) == second
        identity, (remark,) = unsettled(device, "model")
        assert identity == second.id
        assert "not judged" in remark and f"return to {first.id}: edgedeploy rollback local: --name model" in remark
        # The same again: nothing is sent, it waits as before, and its verdict takes it back.
        again = stopped_ship("2")
        assert again.awaits_verdict and again.parent == first.id
        current, (remark,) = judged(device, again, Outcome.BREAKS)
        assert not current and remark == f"{second.id} broke its contract: {first.id} is current again."
        assert current_release(device) == first
        assert unsettled(device, "model") == (None, ())
        assert [entry.event for entry in read_log(device)][-3:] == ["judged", "rolled-back", "taken-back"]

    def test_two_one_after_the_other(self, shipped: Push, stopped_ship: Push, device: LocalConnection) -> None:
        """The way back is the last release that was judged."""
        first = shipped("1")
        stopped_ship("2")
        third = stopped_ship("3")
        assert third.parent == first.id
        fourth = stopped_ship("4")
        assert fourth.parent == first.id
        assert judged(device, fourth, Outcome.BREAKS)[0] is False
        assert current_release(device) == first

    def test_two_and_then_one_that_holds(self, shipped: Push, stopped_ship: Push, device: LocalConnection) -> None:
        first = shipped("1")
        stopped_ship("2")
        assert shipped("3").parent == first.id
        assert rollback(device) == first

    def test_the_first_ever(self, stopped_ship: Push, device: LocalConnection) -> None:
        first = stopped_ship("1")
        _, (remark,) = unsettled(device, "model")
        assert "there is no release before it" in remark
        second = stopped_ship("2")
        assert second.parent is None
        current, (remark,) = judged(device, second, Outcome.BREAKS)
        assert current and remark.endswith("stays current: no release before it was accepted.")
        assert find_release(list_releases(device), "model", first.id) is not None

    def test_between_verdict_and_take_back(self, shipped: Push, stopped_ship: Push, device: LocalConnection) -> None:
        first, second = shipped("1"), stopped_ship("2")
        with open_store(device) as store:
            store.release("model", second.id).judge(Outcome.BREAKS, "")
        _, (remark,) = unsettled(device, "model")
        assert "it broke its contract, and was not taken back" in remark and first.id in remark
        assert status(device).running[0].unconfirmed in remark
        assert stopped_ship("3").parent == first.id

    def test_in_the_take_back(self, shipped: Push, stopped_ship: Push, device: LocalConnection, home: Path) -> None:
        first, second = shipped("1"), stopped_ship("2")
        current, (remark,) = judged(Cut(home, "keep"), second, Outcome.BREAKS)
        assert current and "is not recorded" in remark and "connection lost" in remark
        assert current_release(device).id == second.id
        assert judged(device, stopped_ship("2"), Outcome.BREAKS)[0] is False
        assert current_release(device) == first

    def test_the_connection_is_lost_before_the_verdict_is_kept(
        self, shipped: Push, stopped_ship: Push, device: LocalConnection, home: Path
    ) -> None:
        shipped("1")
        second = stopped_ship("2")
        current, (remark,) = judged(Cut(home, "holds"), second, Outcome.HOLDS)
        assert current and "its contract holds, and that is not recorded on local:" in remark
        assert current_release(device).awaits_verdict

    def test_the_one_before_the_unjudged_is_shipped_again(
        self, shipped: Push, stopped_ship: Push, device: LocalConnection
    ) -> None:
        """It was accepted, and nothing better is there: it stays, whatever stops its ship."""
        first = shipped("1")
        stopped_ship("2")
        again = stopped_ship("1")
        assert again.id == first.id and again.parent is None and not again.awaits_verdict
        assert judged(device, again, Outcome.BREAKS)[0] is True
        assert current_release(device).id == first.id


class TestPushWithoutContract:
    def test_was_never_judged_and_nobody_is_told_so_but_by_json(
        self, make_bundle: Callable[..., Bundle], device: LocalConnection
    ) -> None:
        release = push(make_bundle(), device).release
        assert (release.awaits_verdict, release.verdict) == (False, None)
        assert status(device).running[0].unconfirmed is None
        assert unsettled(device, "model") == (None, ())

    def test_accepts_what_was_not_judged(
        self, make_bundle: Callable[..., Bundle], stopped_ship: Push, device: LocalConnection
    ) -> None:
        stopped_ship("1")
        release = push(make_bundle(), device).release
        assert not release.awaits_verdict and current_release(device) == release

    def test_a_failing_command_is_no_verdict(
        self, make_bundle: Callable[..., Bundle], shipped: Push, stopped_ship: Push, device: LocalConnection
    ) -> None:
        first = shipped("1")
        stopped_ship("2")
        with pytest.raises(DeviceError, match=f"{first.id} is current again"):
            push(make_bundle(version="2"), device, confirm="false")

    def test_over_one_that_was_not_judged(
        self, make_bundle: Callable[..., Bundle], shipped: Push, stopped_ship: Push, device: LocalConnection
    ) -> None:
        first = shipped("1")
        stopped_ship("2")
        assert push(make_bundle(version="3"), device).release.parent == first.id

    def test_one_that_did_not_end_is_no_way_back(
        self, make_bundle: Callable[..., Bundle], device: LocalConnection, home: Path
    ) -> None:
        first = push(make_bundle(), device).release
        with pytest.raises(UnreachableError):
            push(make_bundle(version="2"), Cut(home, "exit 0"), confirm="exit 0")
        _, (remark,) = unsettled(device, "model")
        assert "not confirmed: its push did not end" in remark
        assert push(make_bundle(version="3"), device).release.parent == first.id


class TestSettle:
    @pytest.mark.parametrize("outcome", [Outcome.HOLDS, Outcome.NOT_DETERMINED])
    def test_what_does_not_break_is_accepted(
        self, stopped_ship: Push, device: LocalConnection, outcome: Outcome
    ) -> None:
        release = stopped_ship("1")
        assert judged(device, release, outcome) == (True, ())
        now = current_release(device)
        assert now == structs.replace(release, awaits_verdict=False, verdict=outcome.value)

    def test_what_was_accepted_before_stays(self, shipped: Push, device: LocalConnection) -> None:
        first, second = shipped("1"), shipped("2")
        current, (remark,) = judged(device, second, Outcome.BREAKS)
        assert current and "it was accepted before this ship" in remark
        assert f"To return to {first.id}: edgedeploy rollback local: --name model" in remark
        assert current_release(device).verdict == "breaks"

    def test_another_became_current_meanwhile(self, shipped: Push, stopped_ship: Push, device: LocalConnection) -> None:
        """Only what is judged is taken back."""
        first, second = shipped("1"), stopped_ship("2")
        third = stopped_ship("3")
        current, (remark,) = judged(device, second, Outcome.BREAKS)
        assert not current and "is not current any more" in remark
        assert current_release(device) == third and third.parent == first.id

    def test_it_was_removed_meanwhile(self, shipped: Push, stopped_ship: Push, device: LocalConnection) -> None:
        shipped("1")
        second = stopped_ship("2")
        shipped("3")
        with open_store(device) as store:
            store.remove_releases("model", [second.id])
        assert "is not on local: any more" in judged(device, second, Outcome.HOLDS)[1][0]
        assert not list(Path(second.path).parent.glob(f"{second.id}.*"))

    def test_a_way_back_that_is_damaged(self, shipped: Push, stopped_ship: Push, device: LocalConnection) -> None:
        first, second = shipped("1"), stopped_ship("2")
        model = Path(first.path) / "model.onnx"
        blobs = Path(first.path).parents[2] / "blobs/sha256"
        (blobs / sha256_file(model)).unlink()  # else it would be repaired
        model.unlink()
        current, (remark,) = judged(device, second, Outcome.BREAKS)
        assert current and "is damaged" in remark
        assert "was not taken back" in (status(device).running[0].unconfirmed or "")

    def test_somebody_else_is_at_work(self, stopped_ship: Push, device: LocalConnection) -> None:
        release = stopped_ship("1")
        with open_store(device):
            current, (remark,) = judged(device, release, Outcome.HOLDS)
        assert current and "is being pushed to" in remark and "Run ship again" in remark
        assert current_release(device).awaits_verdict

    def test_old_releases_go_and_the_way_back_stays(
        self, make_bundle: Callable[..., Bundle], shipped: Push, device: LocalConnection
    ) -> None:
        first = shipped("1")
        for version in "234":
            request = PushRequest(bundle=make_bundle(version=version), awaits_verdict=True, keep=2)
            release = carry_out(request, device).release
        assert {each.id for each in list_releases(device).releases} == {first.id, release.id}
        assert judged(device, release, Outcome.BREAKS)[0] is False
        assert current_release(device) == first


class TestCommands:
    def test_rollback_says_what_it_leaves(
        self, shipped: Push, stopped_ship: Push, device: LocalConnection, home: Path
    ) -> None:
        first, second = shipped("1"), stopped_ship("2")
        result = CliRunner().invoke(cli, ["rollback", f"local:{home}"], standalone_mode=False)
        assert f"{first.id} is current on local:{home} again; {second.id} was not judged" in " ".join(
            result.stdout.split()
        )
        listed = CliRunner().invoke(cli, ["releases", f"local:{home}"], standalone_mode=False)
        assert f"{second.id}: not judged" in listed.stdout.splitlines()

    def test_status_of_a_release_that_was_pushed_only(
        self, make_bundle: Callable[..., Bundle], device: LocalConnection, home: Path
    ) -> None:
        push(make_bundle(), device)
        words = ["status", f"local:{home}"]
        assert "verdict" not in CliRunner().invoke(cli, words, standalone_mode=False).stdout
        (running,) = json.loads(CliRunner().invoke(cli, [*words, "--json"], standalone_mode=False).stdout)["running"]
        assert running["unconfirmed"] is None
        assert (running["release"]["awaits_verdict"], running["release"]["verdict"]) == (False, None)
