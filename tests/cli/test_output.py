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


@pytest.mark.parametrize(
    ("words", "printed"),
    [((), ["working …"]), (("-v",), ["working …", "  a note"]), (("-q",), []), (("-q", "-v"), [])],
)
def test_in_a_pipe_each_step_is_a_line_and_notes_are_for_verbose(words: tuple[str, ...], printed: list[str]) -> None:
    assert run(*words).stderr.splitlines() == printed


LONG = """
import time
from edgedeploy.cli.output import Output
now = 0.0
time.monotonic = lambda: now
out = Output(as_json=False, quiet=False, verbose=0)
out.step("working")
for done in range(1, 301):
    now += 1.0
    out.advance(done, 300, "samples")
"""


def test_a_long_step_in_a_pipe_says_how_far_it_is_and_how_long_it_takes() -> None:
    done = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert lines[0] == "working …"
    assert lines[1] == "  working … 61 samples of 300 samples, about 4 min left"
    assert 4 <= len(lines) <= 6


def test_no_color_leaves_no_escape_sequence_on_a_terminal() -> None:
    program = """
from rich.text import Text
from edgedeploy.cli.console import PrintableConsole
PrintableConsole(force_terminal=True).print(Text("bold", style="bold red"))
"""
    for environment, escapes in (({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            check=True,
            env={**os.environ, "TERM": "xterm-256color", **environment},
        )
        assert (b"\x1b" in done.stdout) is escapes


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("", 140), ("x", 140), ("0", 140)])
def test_columns_is_heeded_in_a_pipe(columns: str, width: int) -> None:
    program = PROGRAM.replace("[bold]the result[/bold]", "word " * 100)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": columns},
    )
    assert width - 6 < max(map(len, done.stdout.splitlines())) <= width


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
