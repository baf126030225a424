"""What a device tells of itself, and how things are taken off it, on this machine as the device."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.cli.main import cli
from edgedeploy.deploy.device_log import log_field, note, parse_log, read_log
from edgedeploy.deploy.lock import device_lock
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import current_release, list_releases, rollback
from edgedeploy.deploy.status import status
from edgedeploy.deploy.uninstall import uninstall, uninstall_everything
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import BusyError, DeviceError, UnknownNameError
from edgedeploy.values.bundle import ContractReference

pytestmark = pytest.mark.slow

SHARED = {"runtime/shared.so": b"s" * 10_000}


def blobs(home: Path) -> set[str]:
    return {path.name for path in (home / ".edgedeploy/blobs/sha256").iterdir()}


class TestLog:
    def test_everything_that_changes_what_runs_is_written_down(self, make_bundle, device: LocalConnection) -> None:
        first = push(make_bundle(), device).release
        second = push(make_bundle(version="2"), device).release
        with pytest.raises(DeviceError):
            push(make_bundle(version="3", healthy=False), device)
        rollback(device)
        found = [(entry.event, entry.release) for entry in read_log(device)]
        assert found[:2] == [("activated", first.id), ("activated", second.id)]
        assert found[2][0] == "refused" and found[2][1].startswith("3-")
        assert found[3:] == [("rolled-back", first.id)]
        refused = read_log(device)[2]
        assert "is not healthy" in refused.detail and "loading model" in refused.detail
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry.at) for entry in read_log(device))
        assert all("@" in entry.by for entry in read_log(device))

    def test_it_does_not_grow_for_ever(self, make_bundle, device: LocalConnection, home: Path) -> None:
        push(make_bundle(), device)
        log = home / ".edgedeploy/log"
        log.write_text(log.read_text() * 5000)
        assert log.stat().st_size > 262_144
        note(device, "activated", "model", "1-x", "the last")
        assert len(log.read_text().splitlines()) == 501
        assert read_log(device)[-1].detail == "the last"

    def test_a_log_that_cannot_be_written_stops_nothing(self, make_bundle, device: LocalConnection, home: Path) -> None:
        (home / ".edgedeploy").mkdir(parents=True)
        (home / ".edgedeploy/log").mkdir()
        assert push(make_bundle(), device).activated
        assert status(device).running[0].since is None

    def test_no_device_yet(self, device: LocalConnection) -> None:
        assert read_log(device) == ()

    @given(st.text())
    def test_a_log_may_hold_anything(self, text: str) -> None:
        for entry in parse_log(text):
            assert all(field.isprintable() for field in (entry.at, entry.event, entry.name, entry.by, entry.detail))

    @given(st.text())
    def test_a_detail_is_one_short_line(self, text: str) -> None:
        assert log_field(text).isprintable() and len(log_field(text)) <= 500


class TestStatus:
    def test_what_runs_and_since_when(self, make_bundle, device: LocalConnection) -> None:
        push(make_bundle(), device)
        release = push(make_bundle(version="2"), device).release
        found = status(device)
        (running,) = found.running
        assert running.release == release and running.since and running.by and "@" in running.by
        assert (running.health, running.health_now) == ('{"healthy":true}', None)
        assert found.other_releases == 1 and found.busy is None and not found.damaged
        assert found.used_bytes and found.free_bytes

    def test_from_which_contract(self, make_bundle, device: LocalConnection, home: Path) -> None:
        contract = ContractReference(file="contract.toml", sha256="c0" * 32, owner="vision team")
        push(make_bundle(contract=contract), device)
        assert status(device).running[0].release.manifest.contract == contract
        shown = CliRunner().invoke(cli, ["status", f"local:{home}"], standalone_mode=False)
        assert "contract.toml (SHA-256 c0c0c0c0c0c0), owner vision team" in shown.stdout

    def test_health_now(self, make_bundle, device: LocalConnection, home: Path) -> None:
        run = b"#!/bin/sh\n[ ! -e ~/no-model ] || { echo 'no model' >&2; exit 3; }\n"
        push(make_bundle(files={"run": run}), device)
        assert status(device, check_health=True).running[0].healthy_now is True
        (home / "no-model").touch()
        (running,) = status(device, check_health=True).running
        assert (running.healthy_now, running.health_now) == (False, "no model")

    def test_who_is_at_work(self, make_bundle, device: LocalConnection) -> None:
        push(make_bundle(), device)
        with device_lock(device):
            assert "@" in str(status(device).busy)

    def test_a_device_without_anything(self, device: LocalConnection) -> None:
        found = status(device)
        assert (found.running, found.used_bytes, found.free_bytes) == ((), None, None)


class TestUninstall:
    def test_a_model_goes_and_the_other_stays(self, make_bundle, device: LocalConnection, home: Path) -> None:
        push(make_bundle(files=SHARED), device)
        kept = push(make_bundle(name="other", files=SHARED), device).release
        removed = uninstall(device, "model")
        assert removed.freed_bytes > 0 and [one.split("/")[0] for one in removed.releases] == ["model"]
        assert [release.id for release in list_releases(device).releases] == [kept.id]
        assert not broken_files(device, kept) and not (home / ".edgedeploy/current/model").is_symlink()
        needed = {entry.sha256 for entry in kept.manifest.files}
        (manifest,) = blobs(home) - needed
        assert needed < blobs(home) and kept.id.endswith(manifest[:12])
        # Nothing of what is shared is sent again.
        assert push(make_bundle(name="other", version="2", files=SHARED), device).kept_files > 1

    def test_one_release(self, make_bundle, device: LocalConnection) -> None:
        first, second, third = (push(make_bundle(version=version), device).release for version in "123")
        assert uninstall(device, releases=[first.id]).releases == (f"model/{first.id}",)
        with pytest.raises(DeviceError, match="is current"):
            uninstall(device, releases=[third.id])
        with pytest.raises(DeviceError, match="where a rollback"):
            uninstall(device, releases=[second.id])
        assert rollback(device).id == second.id == current_release(device).id

    def test_all_of_it(self, make_bundle, device: LocalConnection, home: Path) -> None:
        push(make_bundle(), device)
        push(make_bundle(name="other"), device)
        assert len(uninstall_everything(device).releases) == 2
        assert list(home.iterdir()) == []
        assert push(make_bundle(), device).activated

    def test_what_is_not_there(self, make_bundle, device: LocalConnection) -> None:
        with pytest.raises(UnknownNameError, match="has no releases"):
            uninstall(device)
        push(make_bundle(), device)
        push(make_bundle(name="other"), device)
        with pytest.raises(UnknownNameError, match="several models"):
            uninstall(device)
        with pytest.raises(UnknownNameError, match="no model 'third'"):
            uninstall(device, "third")
        with pytest.raises(UnknownNameError, match="no release '9-x'"):
            uninstall(device, "model", releases=["9-x"])

    def test_a_damaged_model_can_be_removed(self, make_bundle, device: LocalConnection, home: Path) -> None:
        release = push(make_bundle(), device).release
        (Path(release.path) / "manifest.json").unlink()
        assert uninstall(device).releases == ()
        assert not (home / ".edgedeploy/releases/model").exists()

    def test_not_while_another_is_at_work(self, make_bundle, device: LocalConnection) -> None:
        push(make_bundle(), device)
        with device_lock(device), pytest.raises(BusyError):
            uninstall(device)
        assert current_release(device)


class TestCommands:
    @pytest.fixture(autouse=True)
    def _at_home(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        home.mkdir()
        monkeypatch.setenv("HOME", str(home))

    def test_status_logs_and_uninstall(self, make_bundle, home: Path) -> None:
        def call(*words: str) -> tuple[object, str]:
            told = CliRunner().invoke(cli, list(words), standalone_mode=False)
            return told.return_value, told.stdout

        address = f"local:{home}"
        code, said = call("status", address)
        assert code == 1 and "nothing runs" in said
        with LocalConnection(address, home) as device:
            push(make_bundle(), device)
        code, said = call("status", address, "--health")
        assert code == 0 and "model 1-" in said and "✓" in said
        assert json.loads(call("status", address, "--json")[1])["running"][0]["release"]["name"] == "model"
        assert "activated" in call("logs", address)[1]
        assert json.loads(call("logs", address, "--name", "none", "--json")[1]) == []
        refused = CliRunner().invoke(cli, ["uninstall", address])
        assert refused.exit_code == 2 and "--yes" in refused.output
        code, said = call("uninstall", address, "--yes")
        assert code == 0 and "removed model/1-" in said
        assert "uninstalled" in call("logs", address)[1]
        assert call("uninstall", address, "--all", "--yes")[0] == 0
        assert not (home / ".edgedeploy").exists()
