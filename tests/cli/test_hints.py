"""Every command of ours that a hint names exists, with the options that it is given."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import edgedeploy
from edgedeploy.cli.main import cli

_PACKAGE = Path(edgedeploy.__file__).parent
_COMMAND = re.compile(r"edgedeploy ([a-z][^;`…]*)")


def _text(node: ast.expr) -> str:
    """What a string says, with `X` in the place of what is only known when it is printed."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)


def _hints() -> Iterator[tuple[str, str]]:
    for path in sorted(_PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for keyword in node.keywords if isinstance(node, ast.Call) else ():
                if keyword.arg == "hint":
                    for part in ast.walk(keyword.value):
                        if isinstance(part, ast.JoinedStr) or (
                            isinstance(part, ast.Constant) and isinstance(part.value, str)
                        ):
                            for found in _COMMAND.findall(_text(part)):
                                yield f"{path.name}:{part.lineno}", found


HINTS = sorted(set(_hints()))


def _named(words: list[str]) -> tuple[click.Command, list[str]]:
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no command {words[0]!r}"
        command, words = found, words[1:]
    return command, words


def test_there_are_hints_with_commands() -> None:
    assert len(HINTS) > 20


@pytest.mark.parametrize(("where", "hint"), HINTS)
def test_a_command_in_a_hint_exists_with_its_options(where: str, hint: str) -> None:
    command, words = _named(shlex.split(hint.partition(", ")[0].partition("(")[0]))
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0].rstrip(".,:") not in known]
    assert unknown == [], f"{where}: {command.name} has no {unknown}"
