"""What `edgedeploy doctor` says of machines that lack something."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import structs
from support.apt_repository import Repository

from edgedeploy.cli.main import cli
from edgedeploy.debian import mirrors
from edgedeploy.debian.distributions import DEBIAN
from edgedeploy.device.emulator import systems
from edgedeploy.device.emulator.image import image_digest
from edgedeploy.device.emulator.systems import emulation_with
from edgedeploy.foundation import programs
from edgedeploy.foundation.extras import extra_line
from edgedeploy.foundation.files import cache_folder
from edgedeploy.targets.load import load_target
from edgedeploy.workflows import doctor, doctor_boards

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


def test_whether_packages_can_be_had_is_asked_of_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = Repository(tmp_path / "debian")
    mirror.add("base-files", "1.0")
    mirror.publish("bookworm")
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] copy:{mirror.folder} bookworm main\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "/nonexistent";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    debian = structs.replace(DEBIAN, keyring=tmp_path / "no.gpg")
    monkeypatch.setattr(mirrors, "distribution_of", lambda _: debian)
    monkeypatch.setattr(systems, "own_release", lambda: "trixie")
    assert found("boards", "packages of Debian trixie").state == "limited"
    findings = {finding.what: finding for finding in doctor.examine(ask_network=True).findings}
    bookworm, trixie = (findings[f"packages of Debian {name}"] for name in ("bookworm", "trixie"))
    assert (bookworm.state, bookworm.detail) == ("ready", f"from copy:{mirror.folder}")
    assert trixie.state == "missing" and trixie.hint.endswith("debian-archive-keyring debootstrap")
    # A release that boards need not have stops nobody.
    monkeypatch.setattr(systems, "own_release", lambda: "bookworm")
    findings = {finding.what: finding for finding in doctor.examine(ask_network=True).findings}
    assert findings["packages of Debian trixie"].state == "limited"


def test_packages_of_an_image_that_is_there_are_not_asked_for() -> None:
    emulation = emulation_with(load_target("rpi4"), "trixie")
    folder = cache_folder() / "images" / image_digest(emulation)[:16]
    folder.mkdir(parents=True)
    (folder / "disk.ext4").touch()
    finding = found("boards", "packages of Debian trixie")
    assert (finding.state, finding.detail) == ("ready", "not needed: the image of rpi4 is there")


def test_a_qemu_that_is_too_old_for_a_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("qemu-system-aarch64", "qemu-system-arm"):
        (tmp_path / name).write_text(
            "#!/bin/sh\nprintf 'Available CPUs:\\n  cortex-a7\\n  cortex-a53\\n  cortex-a72\\n'\n"
        )
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (finding,) = doctor_boards.cores("boards")
    assert finding.what == "qemu-system-aarch64 for cortex-a76" and "no emulated rpi5" in finding.detail


def test_kvm_that_this_user_may_not_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor_boards, "kvm_refusal", lambda _: f"{tmp_path}: Permission denied")
    monkeypatch.setattr(doctor_boards, "KVM", tmp_path)
    finding = doctor_boards.acceleration("boards")
    assert finding.state == "limited" and finding.hint.endswith('usermod -aG kvm "$USER"')


def test_an_extra_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = importlib.metadata.version

    def version(name: str) -> str:
        if name == "ziglang":
            raise importlib.metadata.PackageNotFoundError(name)
        return asked(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    finding = found("native", "ziglang")
    assert (finding.state, finding.hint) == ("missing", extra_line("native"))


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
