"""Words of devices are made fit to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.foundation.sanitize import one_line, printable, printable_lines


@pytest.mark.parametrize(
    ("text", "limit", "line"),
    [
        ("as it is", None, "as it is"),
        ("  two\nlines\tand \x1b[31m red", None, "two lines and [31m red"),
        ("12345", 5, "12345"),
        ("123456", 5, "1234…"),
        ("", None, ""),
    ],
)
def test_one_line(text: str, limit: int | None, line: str) -> None:
    assert one_line(text, limit=limit) == line


@given(st.text(), st.integers(1, 300))
def test_nothing_commands_a_terminal(text: str, limit: int) -> None:
    line = one_line(text, limit=limit)
    assert line.isprintable() and len(line) <= limit
    assert printable(text).isprintable()
    assert all(row.replace("\t", "").isprintable() for row in printable_lines(text).split("\n"))
