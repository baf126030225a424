"""A release becomes current only when it is healthy on the device."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from support.device_store import damage, store, tree

from edgedeploy.deploy.device_log import read_log
from edgedeploy.deploy.push import carry_out, push
from edgedeploy.deploy.releases import releases
from edgedeploy.deploy.request import PushRequest
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError

pytestmark = pytest.mark.slow


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

    def test_a_damaged_release_is_replaced_only_by_one_that_passed(
        self, make_bundle, device: LocalConnection, home: Path
    ) -> None:
        bundle = make_bundle(files={"run": b'#!/bin/sh\n[ -e "$HOME/well" ]\n'})
        (home / "well").touch()
        release = push(bundle, device).release
        damage(Path(release.path) / "model.onnx", b"damaged")
        (home / "well").unlink()
        before = tree(store(home) / "releases"), tree(store(home) / "current")
        with pytest.raises(DeviceError, match="is not healthy"):
            push(bundle, device)
        assert (tree(store(home) / "releases"), tree(store(home) / "current")) == before
        (home / "well").touch()
        assert broken_files(device, push(bundle, device).release) == ""

    def test_a_refused_push_changes_no_mode_of_a_file_that_it_shares(
        self, make_bundle, device: LocalConnection
    ) -> None:
        refused = make_bundle(version="2", healthy=False)
        release = push(make_bundle(files={"notes": (refused.path / "run").read_bytes()}), device).release
        with pytest.raises(DeviceError, match="is not healthy"):
            push(refused, device)
        assert stat.S_IMODE((Path(release.path) / "notes").stat().st_mode) == 0o444

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
