"""Finds the commands in what edgedeploy prints: in all strings of its modules and in the lines of its shell scripts."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILLED = "X"
_PATH = re.compile(r"(?:^|[._])(?:path|file|output|bundle|folder|model)$")
"""Stands where a part of a string is only known when it is printed."""
_PROGRAMS = (
    "sudo|apt-get|pip|uv(?= pip)|ssh(?= -)|ssh-keygen|ssh-copy-id|ssh-add|scp|chmod|chown|mount(?= -)|umount|rm|df|ls|"
    "echo|export(?= [A-Z]+=)|findmnt|locale-gen"
)
_START = r"(?:^|(?<=[:;→(,.?] )|(?<=run |use )|(?<=then |make |also )|(?<=&& )|(?<=or )|(?<=`)|(?<=\())"
_OURS = re.compile(rf"(?P<start>{_START})?(?<![\w./-])edgedeploy (?P<rest>[a-z][^;`\n]*)", re.MULTILINE)
_OTHER = re.compile(rf"{_START}(?P<line>(?:{_PROGRAMS}) [^`\n]+)", re.MULTILINE)
# Words about a command begin after a comma, a bracket or a full stop; an ellipsis stands for words of the user's.
_WORDS_AFTER = re.compile(r", | \(|\. |\.$|\)$|:$|\?$")
_SHELL_STRING = re.compile(r"""(?<![$\\])"([^"\\]*(?:edgedeploy )[^"\\]*)"|'([^']*(?:edgedeploy )[^']*)'""")
_SHELL_CALL = re.compile(r"""(?:^|[({;] *|run |then |trap ')"?\$\{?edgedeploy\}?"? (.*)""")


@dataclass(frozen=True)
class Printed:
    """A command in something that is printed."""

    where: str
    line: str
    """From the name of the program on; of ours without it."""
    typed: bool
    """It is there to be typed as it stands. Otherwise it is a name in backquotes or in a sentence."""
    at_start: bool = True
    """It stands where a command would stand, and not in the middle of a sentence."""

    def __str__(self) -> str:
        return f"{self.where} {self.line}"


def ours_in(package: Path) -> Iterator[Printed]:
    """Yield what follows `edgedeploy ` in the strings of a package, and in those of its shell scripts."""
    for where, text, is_docstring in _strings(package):
        for found in _OURS.finditer(text):
            quoted = text[: found.start("rest")].endswith("`edgedeploy ")
            if not is_docstring or quoted:
                line = _WORDS_AFTER.split(found["rest"])[0]
                yield Printed(where, line, typed=not quoted, at_start=found["start"] is not None)
    for path in sorted(package.rglob("*.sh")):
        for number, text in enumerate(path.read_text().splitlines(), 1):
            for strings in () if text.startswith("#") else _SHELL_STRING.findall(text):
                for found in _OURS.finditer("".join(strings).replace("\\n", "")):
                    line = _WORDS_AFTER.split(re.sub(r"\$\w+|%s", FILLED, found["rest"]))[0]
                    yield Printed(f"{path.name}:{number}", line, typed=True)


def calls_in(script: Path) -> Iterator[Printed]:
    """Yield the calls of edgedeploy, by its path in the variable `edgedeploy`, in a shell script."""
    text = script.read_text().replace("\\\n", " ")
    for number, line in enumerate(text.splitlines(), 1):
        if (found := _SHELL_CALL.search(line)) is not None:
            call = re.split(r" (?:\|\||&&|\|) |;|' EXIT", found[1])[0]
            # An array may be any options; what a variable holds is one word.
            call = re.sub(r'"?\$\{\w+\[@\]\}"?', "", call)
            yield Printed(f"{script.name}:{number}", re.sub(r"\$\{?\w+\}?", FILLED, call), typed=True)


def others_in(package: Path) -> Iterator[Printed]:
    """Yield the lines of other programs in what a package prints, one for each program of a line."""
    for where, text, is_docstring in _strings(package):
        if is_docstring or "\n" in text or "$1" in text:
            # Code of a shell, or examples of our own commands.
            continue
        for found in _OTHER.finditer(text):
            line = re.split(r"; |, ", found["line"])[0]
            for one in re.split(r" && | \| | >>? ?\S+", line):
                if one.strip():
                    yield Printed(where, one.strip(), typed=True)


@functools.cache
def _strings(package: Path) -> tuple[tuple[str, str, bool], ...]:
    """Where each string of a package is, what it says, and whether it is documentation of the code."""
    found = []
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in _outermost(tree):
            text = _text(node)
            if text is not None:
                found.append((f"{path.relative_to(package)}:{node.lineno}", text, id(node) in documentation))
    return tuple(found)


def _outermost(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield strings, and sums of strings, that are no part of another one."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp | ast.Call) and _text(node) is not None:
            yield node
            # What is computed for a string may have strings of its own.
            for part in ast.walk(node):
                if isinstance(part, ast.FormattedValue):
                    yield from _outermost(part)
        else:
            yield from _outermost(node)


def _text(node: ast.expr) -> str | None:
    """What a string says; None for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) or FILLED for part in parts)
        case ast.FormattedValue(value=value):
            # A path may have a space.
            name = ast.unparse(value)
            return "a path" if _PATH.search(name) and "shlex" not in name else None
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            texts = _text(left), _text(right)
            return None if texts == (None, None) else "".join(text or FILLED for text in texts)
        case ast.Call(func=ast.Name(id="examples"), args=arguments):
            # A line that ends with a backslash goes on in the next one.
            return "\n".join(_text(line) or FILLED for line in arguments).replace("\\\n", "")
    return None
