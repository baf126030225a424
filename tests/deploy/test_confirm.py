"""The user's own command has the last word on a release."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.device_store import FakeTool, damage, store, tree

from edgedeploy.deploy.device_log import read_log
from edgedeploy.deploy.push import carry_out, push
from edgedeploy.deploy.releases import current_release, list_releases, releases, rollback
from edgedeploy.deploy.request import PushRequest
from edgedeploy.deploy.status import status
from edgedeploy.deploy.unjudged import unconfirmed_in_words
from edgedeploy.device.connection import Completed
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError, UnreachableError

pytestmark = pytest.mark.slow


class CutWhileConfirming(LocalConnection):
    """Its connection is lost as the user's command is to be run."""

    def run(self, argv: Sequence[str], **more: Any) -> Completed:
        if list(argv) == ["sh", "-c", "true"]:
            raise UnreachableError("connection lost")
        return super().run(argv, **more)


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

    def test_a_push_that_was_cut_before_it_was_confirmed(
        self, make_bundle, device: LocalConnection, home: Path
    ) -> None:
        first = push(make_bundle(), device).release
        second = make_bundle(version="2")
        with pytest.raises(UnreachableError):
            push(second, CutWhileConfirming("local:", home), confirm="true")
        assert list_releases(device).unconfirmed == {f"model/{current_release(device).id}"}
        with pytest.raises(DeviceError, match="is current again"):
            push(second, device, confirm="false")
        assert current_release(device) == first
        assert {each.manifest.version for each in releases(device)} == {"1", "2"}

    def test_what_cut_pushes_left_is_no_way_back_and_is_not_denied(
        self, make_bundle, device: LocalConnection, home: Path
    ) -> None:
        for version in ("1", "2"):
            with pytest.raises(UnreachableError):
                push(make_bundle(version=version), CutWhileConfirming("local:", home), confirm="true")
        with pytest.raises(DeviceError, match="no release before") as caught:
            rollback(device)
        assert caught.value.why == "no release before it was accepted"
        words = unconfirmed_in_words(list_releases(device), current_release(device))
        assert words is not None and words.endswith("; no release before it was accepted")

    @pytest.mark.parametrize("command", ["true", None])
    def test_what_was_current_and_confirmed_stays(
        self, make_bundle, device: LocalConnection, home: Path, command: str | None
    ) -> None:
        """Confirmed by a command, or by being read back where there was none."""
        push(make_bundle(), device, confirm=command)
        second = push(make_bundle(version="2"), device, confirm=command).release
        before = tree(home)
        with pytest.raises(DeviceError, match="it stays current, since it was confirmed before") as caught:
            push(make_bundle(version="2"), device, confirm="echo 'no such app'; false")
        assert caught.value.why == "no such app | exit status 1"
        assert current_release(device) == second
        assert tree(home) == before
        assert read_log(device)[-1].event == "not-confirmed"

    def test_the_only_release_stays_too(self, make_bundle, device: LocalConnection, home: Path) -> None:
        release = push(make_bundle(), device, confirm="true").release
        (store(home) / "log").unlink()  # it is no fact of the log
        with pytest.raises(DeviceError, match="it stays current"):
            push(make_bundle(), device, confirm="false")
        assert current_release(device) == release

    def test_what_this_push_made_current_again_is_taken_back(self, make_bundle, device: LocalConnection) -> None:
        """It was confirmed once, and another was current since."""
        push(make_bundle(), device, confirm="true")
        second = push(make_bundle(version="2"), device, confirm="true").release
        with pytest.raises(DeviceError, match=f"{second.id} is current again"):
            push(make_bundle(), device, confirm="false")
        assert current_release(device).id == second.id

    def test_a_full_disk_does_not_stand_in_the_way_of_confirming(
        self, make_bundle, small_disk: Callable[[int], Path]
    ) -> None:
        device = LocalConnection("local:", small_disk(12))
        push(make_bundle(), device, confirm="cat /dev/zero >rest 2>/dev/null; true")
        assert list_releases(device).unconfirmed == frozenset()

    def test_where_the_way_back_is_damaged_it_stays(self, make_bundle, device: LocalConnection) -> None:
        first = push(make_bundle(), device).release
        damage(Path(first.path) / "model.onnx", b"damaged")
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


@pytest.mark.parametrize(
    "application", ["sleep 600 & echo $! >pid", "(while sleep 0.2; do echo .; done) & echo $! >pid"]
)
def test_a_command_that_starts_an_application_confirms(
    make_bundle, device: LocalConnection, home: Path, application: str
) -> None:
    """It keeps the output of the command open, which has ended."""
    result = push(make_bundle(), device, confirm=application)
    assert result.release.current and read_log(device)[-1].event == "confirmed"
    device.run(["sh", "-c", "kill -KILL $(cat pid)"])


@pytest.mark.parametrize("beside", ["unconfirmed", "parent", "verdict", "sig"])
def test_a_folder_beside_a_release_is_nobodys(make_bundle, device: LocalConnection, home: Path, beside: str) -> None:
    """In the place of what edgedeploy keeps of it. No release could be confirmed, nor be the way back."""
    first = push(make_bundle(), device).release
    folder = store(home) / f"releases/model/{first.id}.{beside}"
    folder.unlink(missing_ok=True)
    folder.mkdir()
    push(make_bundle(), device)
    assert not folder.is_dir()
    folder.mkdir()
    second = push(make_bundle(version="2"), device).release
    assert second.parent == first.id
    assert rollback(device).id == first.id
