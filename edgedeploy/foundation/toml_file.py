"""TOML files that people write, turned into frozen values, with errors that name file, key and line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import TOML_TEXT, read_text
from edgedeploy.foundation.suggest import did_you_mean

Value = TypeVar("Value", bound=msgspec.Struct)

_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]*)`")
_STEP = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")


def load_toml(path: Path, kind: type[Value]) -> Value:
    """Read `path` as TOML and validate it against `kind`.

    Raises:
        InvalidFileError: the file cannot be read, is not TOML, or does not have the keys and types of `kind`;
            the message names the file by its full path, the line and the key.
    """
    path = path.absolute()
    try:
        text = read_text(path, TOML_TEXT)
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise InvalidFileError(f"{path} is not a text file in UTF-8", why=str(error)) from error
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits are a ValueError only
        raise InvalidFileError(f"{path} is not valid TOML", why=str(error)) from error
    try:
        return msgspec.convert(document, kind, strict=True)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        keys = _key_path(document, kind, str(error), where.strip("`"))
        if unknown := _UNKNOWN.search(message):
            keys = (*keys, unknown["key"])
            message = "unknown key"
        elif keys:
            message = message[:1].lower() + message[1:]
        line = _line_of(text, keys)
        raise InvalidFileError(
            f"{path}:{line}: {_dotted(keys) or 'the file'}: {message}",
            hint=_hint(document, kind, keys, unknown_key=unknown is not None),
        ) from error


def line_of(path: Path, keys: tuple[str, ...]) -> int:
    """Where the value at `keys` is written in a TOML file that `load_toml` has read, else the nearest table around it.

    For mistakes that the types do not show.
    """
    return _line_of(read_text(path, TOML_TEXT), keys)


def _key_path(document: Any, kind: type[msgspec.Struct], message: str, where: str) -> tuple[str | int, ...]:
    """The keys that lead to the value that msgspec rejects; it hides the keys of mappings behind `[...]`."""
    keys: list[str | int] = []
    for step in _STEP.finditer(where.removeprefix("$")):
        if step["key"] is not None:
            keys.append(step["key"])
        elif step["index"] != "...":
            keys.append(int(step["index"]))
        else:
            keys.append(_culprit(document, kind, message, keys))
    return tuple(keys)


def _culprit(document: Any, kind: type[msgspec.Struct], message: str, keys: list[str | int]) -> str:
    """Which entry of the mapping at `keys` is the rejected one: the one that fails when it is alone there."""
    mapping = _at(document, keys)
    for name in mapping:
        try:
            msgspec.convert(_with(document, keys, {name: mapping[name]}), kind, strict=True)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(name)
    return "?"


def _at(document: Any, keys: list[str | int]) -> Any:
    for key in keys:
        document = document[key]
    return document


def _with(document: Any, keys: list[str | int], value: Any) -> Any:
    if not keys:
        return value
    head, *rest = keys
    if isinstance(head, int):
        return [_with(item, rest, value) if i == head else item for i, item in enumerate(document)]
    return {**document, head: _with(document[head], rest, value)}


def _hint(document: Any, kind: type[msgspec.Struct], keys: tuple[str | int, ...], *, unknown_key: bool) -> str:
    info = _type_at(document, kind, keys[:-1])
    if unknown_key:
        known = [field.encode_name for field in getattr(info, "fields", ())]
        guess = did_you_mean(str(keys[-1]), known)
        return f"{guess}{' ' if guess else ''}keys of this table: {', '.join(known)}"
    # Of tables that come in several kinds, one key says which.
    if keys and isinstance(info, msgspec.inspect.UnionType):
        kinds = [member for member in info.types if getattr(member, "tag_field", None) == keys[-1]]
        if kinds:
            known = [str(getattr(member, "tag", "")) for member in kinds]
            guess = did_you_mean(str(_at(document, list(keys))), known)
            return f"{guess}{' ' if guess else ''}one of: {', '.join(known)}"
    return ""


def _type_at(document: Any, kind: type[msgspec.Struct], keys: tuple[str | int, ...]) -> Any:
    """The type of the value at `keys`; a union where the value does not say which of its kinds it is."""
    info: Any = msgspec.inspect.type_info(kind)
    for key in (*keys, None):
        info = _chosen(info, document)
        if key is None:
            return info
        if isinstance(info, msgspec.inspect.StructType):
            info = next((field.type for field in info.fields if field.encode_name == key), None)
        else:
            info = getattr(info, "value_type", None) or getattr(info, "item_type", None)
        document = document[key]
    return info


def _chosen(info: Any, value: Any) -> Any:
    """Of a union, the member that `value` is meant to be."""
    if not isinstance(info, msgspec.inspect.UnionType):
        return info
    members = [member for member in info.types if not isinstance(member, msgspec.inspect.NoneType)]
    if isinstance(value, dict):
        for member in members:
            tag_field = getattr(member, "tag_field", None)
            if tag_field is not None and value.get(tag_field) == getattr(member, "tag", None):
                return member
    return members[0] if len(members) == 1 else info


def _dotted(keys: tuple[str | int, ...]) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f"{'.' if text else ''}{key}"
    return text


_HEADER = re.compile(r"^\s*(?P<open>\[\[?)\s*(?P<name>[A-Za-z0-9_\-\"'. ]+?)\s*\]\]?\s*(#|$)")
_ASSIGNMENT = re.compile(r"^\s*(?P<name>[A-Za-z0-9_\-\"'. ]+?)\s*=")


def _line_of(text: str, keys: tuple[str | int, ...]) -> int:
    """The line where the value at `keys` is written, else that of the nearest table around it, else 1.

    The standard library's parser keeps no positions, so this finds the lines where keys and tables begin. A key in
    an inline table has the line of the key that holds that table.
    """
    best_line, best_depth = 1, 0
    table: tuple[str | int, ...] = ()
    counts: dict[tuple[str | int, ...], int] = {}
    for number, line in enumerate(_MULTILINE.sub(_only_newlines, text).split("\n"), start=1):
        if header := _HEADER.match(line):
            table = _split_key(header["name"])
            if header["open"] == "[[":
                index = counts.get(table, -1) + 1
                counts[table] = index
                table = (*table, index)
            else:
                # A sub-table belongs to the last element of an array of tables before it.
                for depth in range(len(table), 0, -1):
                    if table[:depth] in counts:
                        table = (*table[:depth], counts[table[:depth]], *table[depth:])
                        break
            here = table
        elif assignment := _ASSIGNMENT.match(line):
            here = (*table, *_split_key(assignment["name"]))
        else:
            continue
        if here == keys[: len(here)] and len(here) > best_depth:
            best_line, best_depth = number, len(here)
    return best_line


# Comments and strings of one line are matched so that quotes inside them open nothing, and stay as they are.
_MULTILINE = re.compile(
    r'(?P<long>"""(?:\\.|[^\\])*?"""'
    r"|'''.*?''')"
    r"|#[^\n]*"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_KEY_PART = re.compile(r"""\s*("[^"]*"|'[^']*'|[^."']+)""")


def _only_newlines(match: re.Match[str]) -> str:
    return '""' + "\n" * match["long"].count("\n") if match["long"] else match[0]


def _split_key(name: str) -> tuple[str | int, ...]:
    return tuple(part.strip().strip("\"'") for part in _KEY_PART.findall(name))
