"""`action.yml` and the workflow of docs/ci.md are what GitHub takes, and `scripts/gate` what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def held(schema: str, file: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_action_is_one() -> None:
    done = held("vendor.github-actions", ROOT / "action.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_workflow_in_the_documents_is_one(tmp_path: Path) -> None:
    (workflow,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/ci.md").read_text(), re.DOTALL)
    file = tmp_path / "model.yml"
    file.write_text(workflow)
    done = held("vendor.github-workflows", file)
    assert done.returncode == 0, done.stdout + done.stderr
    named = set(re.findall(r"^          (\w+):", workflow, re.MULTILINE)) - {"lfs"}
    inputs = set(re.findall(r"^  (\w+):\n    description:", (ROOT / "action.yml").read_text(), re.MULTILINE))
    assert named <= inputs and "contract" in named


@pytest.mark.slow
def test_what_is_no_workflow_is_found_out(tmp_path: Path) -> None:
    file = tmp_path / "model.yml"
    file.write_text("name: x\non: [pull_request]\njobs:\n  a:\n    steps: 1\n")
    assert held("vendor.github-workflows", file).returncode == 1


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A folder with an `edgedeploy` that writes down what it is told, and fails where FAIL names the command."""
    program = tmp_path / "edgedeploy"
    program.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$*" >>"${0%/*}/told"\n'
        'case "$*" in *--json*) echo "{\\"model\\": {\\"name\\": \\"a-model\\"}}" ;; esac\n'
        'while [ $# -gt 1 ]; do case $1 in --markdown | --output) echo "$1" >"$2" ;; esac; shift; done\n'
        'case "$(tail -n 1 "${0%/*}/told")" in "${FAIL:-none}"*) exit 1 ;; esac\n'
    )
    program.chmod(0o755)
    return tmp_path


def gate(told: Path, *words: str, fail: str = "none") -> tuple[int, list[str]]:
    environment = {**os.environ, "EDGEDEPLOY": str(told / "edgedeploy"), "FAIL": fail}
    done = subprocess.run(
        [ROOT / "scripts/gate", *words], cwd=told, env=environment, capture_output=True, text=True, check=False
    )
    lines = (told / "told").read_text().splitlines() if (told / "told").exists() else []
    return done.returncode, [" ".join(line.split()[:2]) for line in lines]


def test_the_order(told: Path) -> None:
    (told / "base line.json").write_text("{}")
    code, said = gate(told, "a contract.toml", "--baseline", "base line.json", "--out", "an out")
    assert code == 0
    assert said == ["board up", "ship a", "contract show", "bench board:gate-rpi4", "baseline check", "board down"]
    assert (told / "an out/summary.md").read_text() == "--markdown\n\n--markdown\n"


def test_a_contract_that_breaks_ends_it_and_the_board(told: Path) -> None:
    code, said = gate(told, "c.toml", "--minimal", "--target", "rpi2", fail="ship")
    assert (code, said) == (1, ["board up", "ship c.toml", "board down"])
    assert "gate-rpi2-minimal" in (told / "told").read_text()


def test_a_regression_is_not_saved(told: Path) -> None:
    (told / "b.json").write_text("{}")
    code, said = gate(told, "c.toml", "--baseline", "b.json", "--save", fail="baseline check")
    assert code == 1 and "baseline save" not in said
    (told / "told").unlink()
    assert gate(told, "c.toml", "--baseline", "none.json", "--save")[1][-2:] == ["baseline save", "board down"]


@pytest.mark.parametrize("words", [[], ["--target"], ["--wrong", "c.toml"], ["a.toml", "b.toml"]])
def test_what_it_does_not_take(told: Path, words: list[str]) -> None:
    assert gate(told, *words) == (2, [])
