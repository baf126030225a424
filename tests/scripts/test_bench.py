"""`scripts/bench` finds every benchmark by its module, and each of them starts."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
PARTS = {"judge", "fault_subjects", "task_judge", "task_stock"}
"""Started by benchmarks, as processes of their own."""
BENCHMARKS = sorted(
    path.stem
    for path in (SCRIPTS / "benchmarks").glob("*.py")
    if 'if __name__ == "__main__":' in path.read_text() and path.stem not in PARTS
)


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPTS / "bench", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_it_lists_every_benchmark_with_one_line(words):
    listed = bench(*words)
    assert listed.returncode == 0
    lines = dict(re.findall(r"^  (\w+) +(\S.*)$", listed.stdout, re.MULTILINE))
    assert sorted(lines) == BENCHMARKS
    assert all(line.endswith(".") and '"""' not in line for line in lines.values())


@pytest.mark.parametrize("name", ["nothing", "report", "judge", "../bench", "op.*"])
def test_a_name_that_is_none_is_answered_with_those_there_are(name):
    refused = bench(name, "--quick")
    assert refused.returncode == 2
    assert f"no benchmark is named {name}" in refused.stderr and "optimize " in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_starts_and_says_what_its_options_are(name, monkeypatch, capsys):
    module = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: scripts/bench {name} ")
