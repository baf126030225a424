"""Locales that a model asks of the machine it runs on: the rules by which text becomes lower or upper case.

onnxruntime opens them by name when it loads a StringNormalizer, and refuses the model where the C library has none of
that name: https://github.com/microsoft/onnxruntime, onnxruntime/core/providers/cpu/text/string_normalizer.cc.
"""

from __future__ import annotations

import re

DEFAULT_LOCALE = "en_US.UTF-8"
"""What onnxruntime takes on Linux where the model names none."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}(\.[A-Za-z0-9-]{1,31})?(@[A-Za-z0-9]{1,31})?")
_ALWAYS_THERE = ("C", "POSIX")
_REFUSAL = re.compile(r"Failed to construct locale with name:([^:]{1,100})")


def is_locale(name: str) -> bool:
    """Return whether a text is the name of a locale, such as `"en_US.UTF-8"` or `"de_DE.UTF-8@euro"`."""
    return _NAME.fullmatch(name) is not None


def missing_locales(wanted: tuple[str, ...], known: set[str]) -> tuple[str, ...]:
    """Return the locales that are not among those that `locale -a` lists, which writes UTF-8 as utf8."""
    listed = {_normalized(name) for name in known} | set(_ALWAYS_THERE)
    return tuple(name for name in wanted if _normalized(name) not in listed)


def install_locale(name: str) -> str:
    """Return the command that makes a locale on Debian and what is based on it, as root."""
    charset = name.partition(".")[2].partition("@")[0] or "UTF-8"
    return f"apt-get install locales && echo '{name} {charset}' >>/etc/locale.gen && locale-gen"


def refused_locale(words: str) -> str | None:
    """Return the locale that onnxruntime found missing, out of its words; None where they are about another thing."""
    found = _REFUSAL.search(words)
    return found[1] if found else None


def _normalized(name: str) -> str:
    """As the C library compares names: the character set in small letters, without punctuation."""
    language, dot, rest = name.partition(".")
    charset, at, modifier = rest.partition("@")
    return language + dot + re.sub("[^a-z0-9]", "", charset.lower()) + at + modifier
