"""Guess which name somebody meant who mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return a hint with the known name that is nearest to a mistyped one, if one is near, and with `otherwise`.

    Args:
        name: as it was given.
        known: the names there are.
        otherwise: a hint for somebody who did not mistype anything.
    """
    by_folded = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=0.6)
    guess = f"did you mean {by_folded[near[0]]!r}?" if near else ""
    return f"{guess} If not, {otherwise}" if guess and otherwise else guess or otherwise
