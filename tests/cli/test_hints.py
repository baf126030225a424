"""Every command that edgedeploy prints can be typed as it stands: parsed as a shell and click would parse it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.printed_commands import FILLED, Printed, calls_in, others_in, ours_in

import edgedeploy
from edgedeploy.cli.catalog import SUMMARIES
from edgedeploy.cli.main import cli

_PACKAGE = Path(edgedeploy.__file__).parent
_SCRIPTS = Path(__file__).parents[2] / "scripts"
_PROSE = {"command", "does", "installation", "made", "never", "on", "reads", "writes"}
"""What the program does, in sentences that have its name where a command could be."""
_OPTIONS = {
    "apt-get": {"-y", "--no-install-recommends"},
    "chmod": set(),
    "chown": {"-R"},
    "df": {"-h", "-i"},
    "echo": set(),
    "export": set(),
    "findmnt": {"-T"},
    "locale-gen": set(),
    "ls": {"-lL"},
    "mount": {"-o"},
    "pip": {"--force-reinstall", "--upgrade"},
    "rm": {"-r"},
    "ssh-add": {"-s"},
    "ssh-copy-id": {"-p", "-i"},
    "ssh-keygen": {"-t", "-f", "-R", "-lf", "-A", "-Y"},
    "tee": set(),
    "usermod": {"-aG"},
}
"""The programs of others that hints name, with the options that they are given."""

OURS = [
    each
    for each in ours_in(_PACKAGE)
    if each.line.split()[0] in SUMMARIES or (each.at_start and each.line.split()[0] not in _PROSE)
]
CALLS = [each for each in calls_in(_SCRIPTS / "demo")]
OTHERS = list(others_in(_PACKAGE))


def _named(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    command: click.Command = cli
    context = click.Context(command)
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        assert found is not None, f"there is no command {words[0]!r}"
        command, words = found, words[1:]
        context = click.Context(command, parent=context, info_name=command.name)
    return command, context, words


def _values(given: object) -> Iterator[str]:
    for value in given if isinstance(given, list | tuple) else (given,):
        if isinstance(value, list | tuple):
            yield from _values(value)
        elif isinstance(value, str) and FILLED not in value and not re.fullmatch(r"[A-Z]+…?", value):
            yield value


def _parse(line: str) -> None:
    """Take a command line as click does, but for files that must exist and for names that stand for a value."""
    # What is redirected into a file is no argument.
    command, context, words = _named(shlex.split(line.partition(" > ")[0]))
    if isinstance(command, click.Group) or words in (["--help"], ["-h"]):
        return
    parsed, left, _ = command.make_parser(context).parse_args(list(words))
    # What is not given is left out, or stands there as a value that is of no type for values.
    given = {name: value for name, value in parsed.items() if isinstance(value, bool | int | str | list | tuple)}
    assert not left, f"edgedeploy {line}: {context.command_path} takes no {left}"
    if any(parameter.name == "device" and parameter.metavar == "DEVICE" for parameter in command.params):
        assert given.get("device") or given.get("device_option"), f"edgedeploy {line}: DEVICE is missing"
    for parameter in command.params:
        value = given.get(parameter.name)
        if value is None or (parameter.nargs == -1 and not value):
            assert not parameter.required, f"edgedeploy {line}: {parameter.name} is missing"
        elif not isinstance(parameter.type, click.Path | click.File):
            for one in _values(value):
                parameter.type.convert(one, parameter, context)


def _mentioned(line: str) -> None:
    command, _, words = _named(shlex.split(line))
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("-") and word.partition("=")[0] not in known]
    assert unknown in ([], ["--help"]), f"edgedeploy {line}: there is no {unknown}"


def test_what_is_printed_has_commands() -> None:
    assert len(OURS) > 120
    assert len(OTHERS) > 25


@pytest.mark.parametrize("printed", OURS + CALLS, ids=str)
def test_a_command_that_is_printed_can_be_typed(printed: Printed) -> None:
    _parse(printed.line) if printed.typed else _mentioned(printed.line)


@pytest.mark.parametrize("printed", OTHERS, ids=str)
def test_a_line_for_another_program_can_be_typed(printed: Printed) -> None:
    words = shlex.split(printed.line)
    if words[0] == "sudo":
        words = words[1:]
    assert words[0] in _OPTIONS, f"{printed.where}: {words[0]} is a program that no hint should name"
    options = {word for word in words if re.fullmatch(r"--?[a-zA-Z][a-zA-Z-]*", word)}
    assert options <= _OPTIONS[words[0]]


@pytest.mark.parametrize(
    "line",
    [
        "ship X --allow slower",
        "status",
        "releases X shows what there is",
        "board upp rpi4",
        "bench X --profile quickly",
        "bench X --threshold much",
        'status "X',
    ],
)
def test_a_command_that_cannot_be_typed_is_found(line: str) -> None:
    with pytest.raises((AssertionError, click.ClickException, ValueError)):
        _parse(line)
