"""The files that GitHub and contributors' tools read: each is held against its schema, and names what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_FILES = {
    ".github/workflows/test.yml": "vendor.github-workflows",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    ".github/ISSUE_TEMPLATE/fault.yml": "vendor.github-issue-forms",
    ".github/ISSUE_TEMPLATE/wish.yml": "vendor.github-issue-forms",
}
_SCRIPTS = ("demo", "fresh", "gate", "matrix", "release", "setup", "test", "bench")


@pytest.mark.parametrize("name", _FILES)
def test_it_is_what_its_schema_asks_for(name: str) -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", _FILES[name], str(_ROOT / name)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_every_action_is_pinned_by_its_commit() -> None:
    for path in (_ROOT / ".github/workflows").iterdir():
        for used in re.findall(r"uses: (\S+)", path.read_text()):
            assert used == "./" or re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", used), f"{path.name}: {used}"


def test_a_workflow_runs_scripts_that_exist() -> None:
    for path in (_ROOT / ".github/workflows").iterdir():
        for script in re.findall(r"scripts/(\w+)\b(?!\.)", path.read_text()):
            assert (_ROOT / "scripts" / script).exists() or (_ROOT / "scripts" / f"{script}.py").exists(), script


@pytest.mark.parametrize("name", _SCRIPTS)
def test_a_script_is_whole_and_says_what_it_is_for(name: str) -> None:
    path = _ROOT / "scripts" / name
    subprocess.run(["bash", "-n", str(path)], check=True, timeout=30)
    assert path.stat().st_mode & 0o111
    assert path.read_text().splitlines()[1].startswith("# ")


@pytest.mark.parametrize("words", [["--wrong", "trixie"], ["../trixie"], []])
def test_fresh_refuses_what_names_no_release(words: list[str]) -> None:
    done = subprocess.run(
        [str(_ROOT / "scripts/fresh"), *words], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2 and "scripts/fresh: " in done.stderr


def test_setup_names_the_variable_where_nothing_can_be_kept() -> None:
    done = subprocess.run(
        [str(_ROOT / "scripts/setup"), "demo"],
        env={**os.environ, "XDG_CACHE_HOME": "/dev/null/cache"},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "export XDG_CACHE_HOME=" in done.stderr
