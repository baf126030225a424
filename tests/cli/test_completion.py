"""What a shell offers after a Tab, asked as the shells ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgedeploy.foundation.files import cache_folder, config_folder

MAIN = "from edgedeploy.cli.main import main; main()"


def bash(line: str) -> list[str]:
    """What is offered for a line with the cursor at its end, as it would be put into the line."""
    environment = {**os.environ, "COMP_LINE": line, "_EDGEDEPLOY_COMPLETE": "bash_complete"}
    done = subprocess.run([sys.executable, "-c", MAIN], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    return [item.partition(",")[2] for item in done.stdout.splitlines() if item.startswith("plain,")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "offered"),
    [
        ({"COMP_WORDS": "edgedeploy optimize --recipe int8-", "COMP_CWORD": "3"}, {"int8-dynamic", "int8-recovered"}),
        ({"COMP_WORDS": "edgedeploy comp", "COMP_CWORD": "1"}, {"compile", "compare"}),
        ({"COMP_WORDS": "edgedeploy comp", "COMP_CWORD": "x"}, set()),
        ({}, set()),
    ],
)
def test_words_are_completed_for_the_script_of_click_too(given: dict[str, str], offered: set[str]) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COMP_")}
    environment = kept | given | {"_EDGEDEPLOY_COMPLETE": "bash_complete"}
    done = subprocess.run([sys.executable, "-c", MAIN], capture_output=True, text=True, env=environment, check=True)
    found = {item.partition(",")[2] for item in done.stdout.splitlines()}
    assert done.stderr == ""
    assert offered <= found
    assert not offered or not found & {"int8", "push"}


@pytest.mark.slow
def test_bash_completes_words_with_colons_in_a_shell_of_its_own(tmp_path: Path) -> None:
    (cache_folder() / "boards" / "gate").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "edgedeploy"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{MAIN}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    # As readline does it: words end at colons, and the function is called with the line, the point and the words.
    script = """
eval "$(_EDGEDEPLOY_COMPLETE=bash_source edgedeploy)"
COMP_LINE="edgedeploy push small.bundle board:g"; COMP_POINT=${#COMP_LINE}
COMP_WORDS=(edgedeploy push small.bundle board : g); COMP_CWORD=5
_edgedeploy_completion edgedeploy
printf '%s\\n' "${COMPREPLY[@]}"
"""
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        [shutil.which("bash") or "bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert (done.stdout.split(), done.stderr) == (["gate"], "")


@pytest.mark.slow
def test_what_is_offered() -> None:
    (cache_folder() / "boards" / "gate").mkdir(parents=True)
    (config_folder() / "quantize").mkdir(parents=True)
    (config_folder() / "quantize" / "mine.toml").write_text("this is = no TOML [", encoding="utf-8")
    ssh = Path.home() / ".ssh"
    ssh.mkdir()
    (ssh / "config").write_text("Host camera *.lan !no\n  Port 22\nhost=door\n", encoding="utf-8")
    assert bash("edgedeploy ro") == ["rollback"]
    assert bash("edgedeploy optimize m.onnx --recipe weights-int") == ["weights-int4", "weights-int8"]
    assert "mine" in bash("edgedeploy recipes ")
    assert {"rpi4", "rpi5"} <= set(bash("edgedeploy compile m.onnx --target rpi"))
    assert bash("edgedeploy compile m.onnx --target rpi-zero --backend ") == ["auto", "native"]
    assert bash("edgedeploy ship c.toml --backend onnxruntime-") == ["onnxruntime-c"]
    assert bash("edgedeploy compile m.onnx --backend=nat") == ["native"]
    assert bash("edgedeploy contract new m.onnx --metric top") == ["top1", "top5"]
    assert bash("edgedeploy status ") == ["board:gate", "local:", "camera", "door"]
    assert bash("edgedeploy push small.bundle --to board:") == ["gate"]
    assert bash("edgedeploy doctor nat") == ["native"]
    assert bash("edgedeploy board down ga") == ["gate"]
    assert bash("edgedeploy test board:gate --metric none-such") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.slow
def test_each_shell_gets_its_script(shell: str) -> None:
    environment = {**os.environ, "_EDGEDEPLOY_COMPLETE": f"{shell}_source"}
    done = subprocess.run([sys.executable, "-c", MAIN], capture_output=True, text=True, env=environment, check=True)
    assert f"_EDGEDEPLOY_COMPLETE={shell}_complete" in done.stdout
