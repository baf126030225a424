"""Where the recipes and targets lie: the user's own folder first, then those that edgedeploy ships."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

from edgedeploy.foundation.errors import InvalidFileError, UnknownNameError
from edgedeploy.foundation.files import config_folder
from edgedeploy.foundation.suggest import did_you_mean

Kind = Literal["quantize", "targets"]


def folders(kind: Kind) -> tuple[Path, ...]:
    """Folders that are searched, the first that has a name wins."""
    package = Path(__file__).parents[1]
    shipped = package / "_data" / kind
    # An editable install has no copy in the package: the files are at the top of the checkout.
    return (config_folder() / kind, shipped if shipped.is_dir() else package.parent / kind)


def names(kind: Kind) -> tuple[str, ...]:
    """The names there are, sorted."""
    return tuple(sorted({path.stem for folder in folders(kind) for path in folder.glob("*.toml")}))


def find(kind: Kind, name: str) -> Path:
    """The file that `name` stands for.

    Raises:
        UnknownNameError: no folder has it; the message lists what there is.
        InvalidFileError: what has its name is a folder, or a link to nothing.
    """
    known = names(kind)
    if name in known:
        paths = [folder / f"{name}.toml" for folder in folders(kind)]
        for path in paths:
            if path.is_file():
                return path
        # It has a name that is listed, and nothing to read.
        for path in paths:
            if path.is_symlink():
                raise InvalidFileError(
                    f"{path} is a link to a file that is not there", hint=f"rm {shlex.quote(str(path))}"
                )
            if path.exists():
                raise InvalidFileError(f"{path} is no file", hint="move it to another place")
    what = "recipe" if kind == "quantize" else "target"
    raise UnknownNameError(
        f"there is no {what} {name!r}",
        why=f"known: {', '.join(known)}",
        hint=did_you_mean(name, known, f"choose one of them, or add {folders(kind)[0] / 'NAME.toml'}"),
    )
