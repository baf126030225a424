from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.foundation.toml_file import load_toml


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size: int
    colour: Literal["red", "blue"] = "red"


class Blend(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="name", tag="blend"):
    speed: int = 1


class Chop(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="name", tag="chop"):
    width: float = 1.0


class Whole(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    named: dict[str, Part] = {}
    step: tuple[Blend | Chop, ...] = ()


def load(tmp_path, text: str) -> Whole:
    path = tmp_path / "whole.toml"
    path.write_text(text, encoding="utf-8")
    return load_toml(path, Whole)


def test_a_sound_file(tmp_path):
    whole = load(tmp_path, 'title = "x"\n[part]\nsize = 1\n[[step]]\nname = "chop"\nwidth = 2.0\n')
    assert whole == Whole(title="x", part=Part(size=1), step=(Chop(width=2.0),))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('title = "x"\ncolor = 1\n', 2, ["color: unknown key", "title"]),
        ('title = "x"\n\n[part]\n# size\nsize = "big"\n', 5, ["part.size: expected `int`, got `str`"]),
        ('title = "x"\n[part]\nsize = 1\nsise = 2\n', 4, ["part.sise: unknown key", "size, colour"]),
        ('title = "x"\n[[parts]]\nsize = 1\n[[parts]]\nsize = 1.5\n', 5, ["parts[1].size"]),
        ('title = "x"\n[[parts]]\nsize = 1\n[[parts]]\ncolour = "red"\n', 4, ["parts[1]", "size"]),
        ('title = "x"\n[named.a]\nsize = 1\n[named.b]\nsize = true\n', 5, ["named.b.size"]),
        ('title = "x"\n[named."a.b"]\nsize = true\n', 3, ["size"]),
        ('title = "x"\n[named."a b"]\nsize = 1\ncolour = "green"\n', 4, ["named.a b.colour"]),
        ('title = "x"\npart = { size = "big" }\n', 2, ["part.size"]),
        ('title = "x"\npart.size = "big"\n', 2, ["part.size"]),
        ("[part]\nsize = 1\n", 1, ["the file", "title"]),
        ("title = 3\n", 1, ["title: expected `str`, got `int`"]),
        ('title = "x"\n[[step]]\nname = "blend"\n[[step]]\nname = "fry"\n', 5, ["step[1].name", "blend, chop"]),
        ('title = "x"\n[[step]]\nname = "blend"\nwidth = 1.0\n', 4, ["step[0].width: unknown key", "speed"]),
        ('title = """\n[part]\nsize = 1\n"""\n[part]\nsize = "big"\n', 6, ["part.size"]),
        ("title = '''\n[part]\nsize = 1\"\"\"'''\n[part]\nsize = 'big'\n", 5, ["part.size"]),
        ('title = "x" # """\n[part]\nsize = "big" # """\n', 3, ["part.size"]),
        ('title = "\\"\\"\\""\n[part]\nsize = "big"\n', 3, ["part.size"]),
        ('title = "x"\nparts = [\n  [1, 2],\n  [3],\n]\n[part]\nsize = 1\n', 2, ["parts[0]"]),
        ('title = "[part]"\n  [ part ]  # a comment\n  size = "big"\n', 3, ["part.size"]),
        ('title = "x"\nparts = [\n  { size = 1 },\n  { size = "big" },\n]\n', 2, ["parts[1].size"]),
    ],
)
def test_an_error_names_file_line_and_key(tmp_path, text, line, words):
    with pytest.raises(InvalidFileError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'whole.toml'}:{line}: ")
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    "content",
    [b"title = ", b"title = 'x", b"\xff\xfe", b"a = 1\na = 2\n", b"\0", b"a = 1" + b"0" * 5000, b"a = " + b"[" * 5000],
)
def test_what_is_no_toml_is_refused(tmp_path, content):
    path = tmp_path / "whole.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidFileError, match=r"not|unknown key"):  # the early 3.11 takes any number of digits
        load_toml(path, Whole)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(InvalidFileError, match="does not exist"):
        load_toml(tmp_path / "none.toml", Whole)


_VALUES = st.recursive(
    st.one_of(st.integers(-9, 9), st.booleans(), st.sampled_from(["red", "x", "blend", "chop"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(["size", "colour", "name", "speed", "a", "a b"]), inner, max_size=3),
    ),
    max_leaves=6,
)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_toml(item)}' for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


@pytest.mark.slow
@given(
    document=st.dictionaries(st.sampled_from(["title", "part", "parts", "named", "step", "other"]), _VALUES, max_size=4)
)
def test_every_document_is_read_or_refused_in_words(tmp_path_factory, document):
    text = "".join(f"{key} = {_toml(value)}\n" for key, value in document.items())
    folder = tmp_path_factory.mktemp("toml")
    try:
        load(folder, text)
    except InvalidFileError as error:
        assert str(error).startswith(f"{folder / 'whole.toml'}:")
