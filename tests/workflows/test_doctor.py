"""What `edgedeploy doctor` says of machines that lack something."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgedeploy.cli.main import cli
from edgedeploy.foundation import programs
from edgedeploy.workflows import doctor

pytestmark = pytest.mark.slow

Usage = namedtuple("Usage", "total used free")


def found(job: str, what: str) -> doctor.Finding:
    (finding,) = (finding for finding in doctor.examine().findings if (finding.job, finding.what) == (job, what))
    return finding


def test_a_machine_that_runs_these_tests_can_do_models() -> None:
    diagnosis = doctor.examine()
    assert not diagnosis.missing(("models",))
    assert {finding.job for finding in diagnosis.findings} == set(doctor.jobs())
    assert found("models", "onnxruntime").detail == importlib.metadata.version("onnxruntime")


def test_a_program_that_is_missing_comes_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", ())
    finding = found("boards", "qemu-system-aarch64")
    assert finding.state == "missing"
    assert finding.hint.endswith("apt-get install -y --no-install-recommends qemu-system-arm")


def test_an_extra_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = importlib.metadata.version

    def version(name: str) -> str:
        if name == "ziglang":
            raise importlib.metadata.PackageNotFoundError(name)
        return asked(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    finding = found("native", "ziglang")
    assert (finding.state, finding.hint) == ("missing", "pip install 'edgedeploy[native]'")


def test_a_disk_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 9 * 10**8, 10**8))
    assert found("boards", "disk for the cache").state == "missing"
    assert "2.0 GB are needed" in found("boards", "disk for the cache").detail


def test_keys_and_known_hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "gone"))
    assert found("devices", "a key to log in with").state == "limited"
    assert "0 lines" in found("devices", "known_hosts").detail
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_text("a key")
    (tmp_path / ".ssh" / "known_hosts").write_text("# none\nhost ssh-ed25519 AAAA\n")
    assert found("devices", "a key to log in with").detail == str(tmp_path / ".ssh" / "id_ed25519")
    assert found("devices", "known_hosts").detail.startswith("1 lines")


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(cli, ["doctor", "models", "--json"], standalone_mode=False)
    assert result.return_value == 0
    assert json.loads(result.stdout)["findings"][0]["what"] == "onnx"
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", ())
    result = CliRunner().invoke(cli, ["doctor", "boards"], standalone_mode=False)
    assert result.return_value == 1
    assert "cannot be done here: boards" in result.stdout and "models" not in result.stdout
    assert CliRunner().invoke(cli, ["doctor"], standalone_mode=False).return_value == 0
    refused = CliRunner().invoke(cli, ["doctor", "everything"])
    assert "there is no job 'everything'" in str(refused.exception)
