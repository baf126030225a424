"""Lists of files of the user's own, of which one that is bad must not hide the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.sanitize import one_line

if TYPE_CHECKING:
    from rich.text import Text

T = TypeVar("T")


class BadFile(Struct, frozen=True, kw_only=True):
    """A file that is listed though it cannot be used: an element of the JSON array that `--json` prints."""

    name: str
    invalid: str
    """Why, in one line."""
    hint: str


def read_each(names: Iterable[str], load: Callable[[str], T]) -> tuple[list[T], list[BadFile]]:
    """Load what has these names, and return what could be loaded, and what could not with its reason."""
    good: list[T] = []
    bad: list[BadFile] = []
    for name in names:
        try:
            good.append(load(name))
        except EdgedeployError as error:
            reason = one_line(": ".join(filter(None, (error.what, error.why))))
            bad.append(BadFile(name=one_line(name), invalid=reason, hint=one_line(error.hint)))
    return good, bad


def bad_lines(bad: Iterable[BadFile]) -> list[Text]:
    """Write a line for each bad file: below the list of good ones."""
    from rich.text import Text

    return [
        Text(f"{each.name}: cannot be used: {each.invalid}" + (f" ({each.hint})" if each.hint else "")) for each in bad
    ]
