"""A `ship` that is killed after its push, and what all commands say of what it left."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from click.testing import CliRunner, Result

from edgedeploy.cli.main import cli
from edgedeploy.foundation.files import sha256_file

pytestmark = pytest.mark.keeps_cache

CLASSIFIER = """
    <ir_version: 8, opset_import: ["" : 17]>
    model (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {1, -2, 3, 4, -5, 6}> { y = MatMul(x, w) }
"""
CONTRACT = """
schema = 1
[model]
name = "model"
version = "{version}"
framework = "none"
file = "model.onnx"
sha256 = "{sha256}"
[data]
evaluation = "evaluation.npz"
[optimization]
recipe = "fold"
allow = ["larger", "slower", "unjudged"]
[limits]
size_max_bytes = {size_max_bytes}
"""
EDGEDEPLOY = [sys.executable, "-c", "from edgedeploy.cli.main import main; main()"]
GENEROUS, IMPOSSIBLE = 10_000_000, 1


def contract(folder: Path, version: str, size_max_bytes: int) -> Path:
    folder.mkdir()
    model = folder / "model.onnx"
    model.write_bytes(onnx.parser.parse_model(CLASSIFIER).SerializeToString())
    samples = np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32)
    labels = (samples @ np.array([[1, -2], [3, 4], [-5, 6]], np.float32)).argmax(1)
    np.savez(folder / "evaluation.npz", x=samples, labels=labels)
    path = folder / "contract.toml"
    path.write_text(CONTRACT.format(version=version, sha256=sha256_file(model), size_max_bytes=size_max_bytes))
    return path


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], standalone_mode=False)


def said(*words: str | Path) -> Any:
    result = call(*words, "--json")
    assert result.exception is None, result.output
    return json.loads(result.stdout)


def kill_after_push(path: Path, home: Path, version: str) -> None:
    """Start a `ship` in another process, and kill it when its release is current and waits for its verdict."""
    link = home / ".edgedeploy/current/model"
    words = [*EDGEDEPLOY, "ship", str(path), "--to", f"local:{home}", "--profile", "long"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until = time.monotonic() + 300
        while time.monotonic() < until and process.poll() is None:
            release = link.resolve()
            if release.name.startswith(f"{version}-"):
                waits = release.with_name(f"{release.name}.unconfirmed")
                if waits.is_file() and waits.read_text():
                    break
            time.sleep(0.02)
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        process.kill()
        process.wait()


def test_stopped_ship_is_told_and_is_no_way_back(tmp_path: Path) -> None:
    home = tmp_path / "device"
    device = f"local:{home}"
    holding = said("ship", contract(tmp_path / "one", "1", GENEROUS), "--to", device)
    assert (holding["verdict"]["outcome"], holding["unjudged"], holding["remarks"]) == ("holds", None, [])
    first = holding["release"]["id"]
    assert said("status", device)["running"][0]["release"]["verdict"] == "holds"
    assert "verdict               ✓ holds" in call("status", device).output

    kill_after_push(contract(tmp_path / "two", "2", GENEROUS), home, "2")
    (running,) = said("status", device)["running"]
    second = running["release"]["id"]
    assert running["release"]["awaits_verdict"] and running["release"]["verdict"] is None
    back = f"return to {first}: edgedeploy rollback {device} --name model"
    for command in (("status", device), ("smoke", device, "--seconds", "0.1"), ("releases", device)):
        output = " ".join(call(*command).output.split())
        assert "not judged: its ship was stopped before the verdict" in output and back in output, command
    assert said("smoke", device, "--seconds", "0.1")["release"]["awaits_verdict"] is True

    third = said("ship", contract(tmp_path / "three", "3", IMPOSSIBLE), "--to", device)
    assert third["unjudged"] == second and third["release"]["parent"] == first
    told, settled = third["remarks"]
    assert second in told and "not judged" in told and back in told
    assert settled == f"{third['release']['id']} broke its contract: {first} is current again."
    assert said("status", device)["running"][0]["release"]["id"] == first
