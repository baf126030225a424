"""Standard output is for the result, standard error for what happens meanwhile."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

PROGRAM = """
import click
from edgedeploy.cli.output import common_options

@click.command()
@common_options
def command(out):
    out.step("working")
    out.advance(1, 2, "samples")
    out.advance(2, 2, "samples")
    out.note("a note")
    out.result({"b": 1, "a": [2]}, "[bold]the result[/bold]")

command()
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)


def test_json_is_all_of_standard_output_and_keeps_the_order() -> None:
    done = run("--json", "-v")
    assert json.loads(done.stdout) == {"b": 1, "a": [2]}
    assert done.stdout.index('"b"') < done.stdout.index('"a"')


def test_markup_in_a_result_is_text() -> None:
    assert run().stdout.strip() == "[bold]the result[/bold]"


@pytest.mark.parametrize(("words", "said"), [((), ""), (("-v",), "working"), (("-q",), ""), (("-q", "-v"), "")])
def test_without_a_terminal_only_verbose_speaks(words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert said in done.stderr
    assert bool(done.stderr) == bool(said)


def test_on_a_terminal_progress_is_drawn_and_cleared() -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    drawn = b""
    try:
        while chunk := os.read(ours, 4096):
            drawn += chunk
    except OSError:
        pass  # Linux ends a terminal whose other side is closed with an error
    os.close(ours)
    assert process.communicate()[0].strip() == "[bold]the result[/bold]"
    assert b"2 samples of 2 samples" in drawn
    assert b"a note" in drawn
    assert b"working  " in drawn.replace(b"\r", b"")
