"""Targets: the TOML files in `targets/`, validated."""

from __future__ import annotations

import msgspec

from edgedeploy.foundation.errors import InvalidFileError, UnknownNameError
from edgedeploy.foundation.resources import find, names
from edgedeploy.foundation.toml_file import load_toml
from edgedeploy.values.target import Target


def target_names() -> tuple[str, ...]:
    """The targets there are, sorted: those that edgedeploy ships and the user's own."""
    return names("targets")


def load_target(name: str) -> Target:
    """The target called `name`, which is its file's name without `.toml`.

    Args:
        name: after a colon it may say which of the target's systems is meant, as in `rpi4:trixie`; by default it is the
            first. The value that is returned has that system as its `os`, and no other.

    Raises:
        UnknownNameError: there is none, or it has no such system; the message lists what there is.
        InvalidFileError: its file has an unknown key, a wrong type, or another name inside.
    """
    name, colon, release = name.partition(":")
    path = find("targets", name)
    target = load_toml(path, Target)
    if target.name not in ("", name):
        raise InvalidFileError(
            f"{path}: name is {target.name!r}, but the file's name makes it {name!r}", hint="remove the key `name`"
        )
    target = msgspec.structs.replace(target, name=name)
    return _with_system(target, release) if colon else target


def found_target(name: str) -> Target | None:
    """The target called `name`; None where there is none, or its file is broken.

    For names that a device or a bundle gives, and where a broken file of the user's must not stand in the way.
    """
    try:
        return load_target(name)
    except (InvalidFileError, UnknownNameError):
        return None


def _with_system(target: Target, release: str) -> Target:
    systems = {system.release: system for system in (target.os, *target.other_os) if system.release}
    if release not in systems:
        raise UnknownNameError(
            f"target {target.name} has no system {release!r}",
            why=f"there are: {', '.join(systems) or 'none that has a name'}",
            hint=f"edgedeploy targets {target.name}",
        )
    return msgspec.structs.replace(target, os=systems[release], other_os=())
