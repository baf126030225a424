"""Every command that talks to a device, over an SSH server that allows one session at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from loopback_sshd import serve
from msgspec import structs
from support.host_backend import CLASSIFIER, HostBackend

from edgedeploy.measure.durations import PROFILES
from edgedeploy.model.inspect import inspect_model

pytestmark = [pytest.mark.device, pytest.mark.slow]

COMMANDS = (
    "probe DEVICE",
    "ship first/contract.toml DEVICE --work first/work --report report",
    "ship second/contract.toml DEVICE --profile smoke",
    "releases DEVICE",
    "status DEVICE --health",
    "bench DEVICE --profile smoke --processes 2",
    "bench DEVICE --profile smoke --against FIRST --rounds 6 --threshold 1000",
    "test DEVICE --evaluation first/evaluation.npz",
    "profile DEVICE --top 2",
    "logs DEVICE",
    "smoke DEVICE --seconds 0.1",
    "rollback DEVICE",
    "push first/work/model.bundle --to DEVICE --confirm true",
    "uninstall DEVICE --all --yes",
)


@pytest.fixture(autouse=True)
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own, with this Python's runtime, and no longer than it must be."""
    import edgedeploy.compile.backends.onnxruntime as backend

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backend, "BACKEND", HostBackend())
    monkeypatch.setitem(PROFILES, "smoke", structs.replace(PROFILES["smoke"], min_s=0.0, warmup_s=0.0))


def contract(folder: Path, version: str) -> None:
    folder.mkdir()
    x = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    labels = (x @ np.array([[1, -2], [3, 4], [-5, 6]])).argmax(axis=1)
    np.savez(folder / "evaluation.npz", x=x, labels=labels)
    (folder / "model.onnx").write_bytes(onnx.parser.parse_model(CLASSIFIER).SerializeToString())
    (folder / "contract.toml").write_text(f"""
schema = 1
[model]
name = "model"
version = "{version}"
framework = "by hand"
file = "model.onnx"
sha256 = "{inspect_model(folder / "model.onnx").sha256}"
[data]
evaluation = "evaluation.npz"
[optimization]
recipe = "fold"
allow = ["slower"]
[limits]
metric_min = 0.9
""")


def test_all_commands(edgedeploy, tmp_path: Path) -> None:
    contract(tmp_path / "first", "1")
    contract(tmp_path / "second", "2")
    with serve(tmp_path / "sshd", tmp_path / "home", settings="MaxSessions 1\n") as server:
        folder = Path.home() / ".ssh"
        folder.mkdir(exist_ok=True)
        (folder / "config").write_text(
            f"Host 127.0.0.1\n  IdentityFile {server.folder}/user_key\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {server.folder}/known_hosts\n"
        )
        said = {}
        words = {"DEVICE": server.address, "FIRST": ""}
        for command in COMMANDS:
            done = edgedeploy(*(words.get(word, word) for word in command.split()), "-q", "--json")
            assert (done.exit_code, done.stderr) == (0, ""), (command, done)
            said[command] = json.loads(done.stdout)
            if command.startswith("ship first"):
                words["FIRST"] = said[command]["release"]["id"]
                # Two runners at once, each with its session.
                assert said[command]["evidence"]["speed"]["currency"] == "device time"
