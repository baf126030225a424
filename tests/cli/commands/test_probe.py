from __future__ import annotations

import json
import platform
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from support.sample_shipment import shipment

from edgedeploy.cli.main import cli
from edgedeploy.foundation.errors import DeviceError, EdgedeployError, InvalidFileError
from edgedeploy.measure.files import save_measurement
from edgedeploy.values.probe import Probe


def run(*words: str) -> Result:
    result = CliRunner().invoke(cli, words, standalone_mode=False)
    if isinstance(result.exception, EdgedeployError):
        raise result.exception
    assert result.exception is None, result.output
    return result


@pytest.mark.slow
def test_probe_for_people(tmp_path: Path) -> None:
    lines = run("probe", f"local:{tmp_path}").stdout.splitlines()
    said = {line.partition("  ")[0]: line for line in lines}
    wanted = "board system kernel programs cores features clock memory swap disk python temperature throttled target"
    assert [word for word in wanted.split() if word not in said] == []
    assert platform.machine() in said["programs"]
    assert "free" in said["disk"]


@pytest.mark.slow
def test_probe_as_json(tmp_path: Path) -> None:
    found = msgspec.json.decode(run("probe", f"local:{tmp_path}", "--json").stdout, type=Probe)
    assert (found.machine, found.address) == (platform.machine(), f"local:{tmp_path}")
    assert found.pythons and found.memory_total_bytes


def test_probe_does_not_draw_what_commands_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "vcgencmd").write_text("#!/bin/sh\necho throttled=0x80008\n")
    (tools / "uname").write_text("#!/bin/sh\nprintf 'aarch64\\033[2J\\n'\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    with pytest.raises(DeviceError, match="does not say what it is"):
        run("probe", f"local:{tmp_path / 'home'}")
    (tools / "uname").write_text("#!/bin/sh\n[ $1 = -m ] && echo x86_64 || printf '6.1\\033[2J\\n'\n")
    output = run("probe", f"local:{tmp_path / 'home'}").stdout
    assert "\x1b" not in output and "6.1" in output
    assert "soft temperature limit now, soft temperature limit was reached" in output


@pytest.mark.slow
def test_push_with_a_measurement_of_another_device(tmp_path: Path, make_bundle) -> None:
    bundle = make_bundle()
    device = f"local:{tmp_path / 'device'}"
    measurement = shipment().measurement
    assert measurement is not None
    release = msgspec.structs.replace(
        measurement.release, name=bundle.manifest.name, model_sha256=bundle.manifest.model.sha256
    )
    save_measurement(msgspec.structs.replace(measurement, release=release, peak_rss_bytes=1 << 50), tmp_path / "m.json")
    with pytest.raises(DeviceError, match=r"1,125,899,906,842,624 bytes of memory were measured"):
        run("push", str(bundle.path), "--to", device, "--measured", str(tmp_path / "m.json"))
    save_measurement(msgspec.structs.replace(measurement, release=release, peak_rss_bytes=1 << 20), tmp_path / "m.json")
    pushed = run("push", str(bundle.path), "--to", device, "--measured", str(tmp_path / "m.json"), "--json")
    assert json.loads(pushed.stdout)["activated"] is True
    save_measurement(measurement, tmp_path / "other.json")
    with pytest.raises(InvalidFileError, match="not of the model in this bundle"):
        run("push", str(bundle.path), "--to", device, "--measured", str(tmp_path / "other.json"))
