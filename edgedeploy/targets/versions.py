"""Versions as `MAJOR.MINOR`."""

from __future__ import annotations

import re

_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}", re.ASCII)


def is_version(text: str) -> bool:
    return _VERSION.fullmatch(text) is not None


def version_numbers(text: str) -> tuple[int, ...]:
    """For comparison; empty, which is less than any, where the text does not begin with a version."""
    match = _VERSION.match(text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
