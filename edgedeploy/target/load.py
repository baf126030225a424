"""Targets: the TOML files in `targets/`, validated."""

from __future__ import annotations

import msgspec

from edgedeploy.data_files import find, names
from edgedeploy.errors import InvalidFileError
from edgedeploy.toml_file import load_toml
from edgedeploy.values.target import Target


def target_names() -> tuple[str, ...]:
    """The targets there are, sorted: those that edgedeploy ships and the user's own."""
    return names("targets")


def load_target(name: str) -> Target:
    """The target called `name`, which is its file's name without `.toml`.

    Raises:
        UnknownNameError: there is none; the message lists what there is.
        InvalidFileError: its file has an unknown key, a wrong type, or another name inside.
    """
    path = find("targets", name)
    target = load_toml(path, Target)
    if target.name not in ("", name):
        raise InvalidFileError(
            f"{path}: name is {target.name!r}, but the file's name makes it {name!r}", mend="remove the key `name`"
        )
    return msgspec.structs.replace(target, name=name)
