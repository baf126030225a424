"""`data.yaml` of a dataset of YOLO's form: https://docs.ultralytics.com/datasets/detect/#ultralytics-yolo-format."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from msgspec import Struct

from edgedeploy.foundation.errors import DatasetError, HostError
from edgedeploy.foundation.extras import extra_line
from edgedeploy.foundation.files import unreadable
from edgedeploy.foundation.reading import TOML_TEXT, read_text

_PARTS = ("train", "val", "test")


class YoloYaml(Struct, frozen=True, kw_only=True):
    """What the file says of the data; what it says of training is passed over."""

    path: Path
    root: Path
    names: tuple[str, ...]
    """Of the classes, by number."""
    parts: dict[str, tuple[Path, ...]]
    """Of `train`, `val` and `test` those that are there: folders of pictures, or text files that list pictures."""
    keypoints: tuple[int, int] | None = None
    """Of poses: points of an object, and values of a point, 2 or 3."""


def load_yolo_yaml(path: Path) -> YoloYaml:
    """Read a `data.yaml`.

    Raises:
        InvalidFileError: it cannot be read.
        DatasetError: it is not YAML, or names no classes; the message says what is wrong.
        HostError: PyYAML is not installed.
    """
    document = _yaml(path)
    root = _root(path, document.get("path"))
    parts = {part: _places(path, root, document[part]) for part in _PARTS if document.get(part)}
    return YoloYaml(
        path=path,
        root=root,
        names=_names(path, document),
        parts={part: places for part, places in parts.items() if any(place.exists() for place in places)} or parts,
        keypoints=_keypoints(path, document.get("kpt_shape")),
    )


def _yaml(path: Path) -> dict[str, Any]:
    try:
        yaml = importlib.import_module("yaml")
    except ImportError as error:
        raise HostError(
            "data.yaml needs the Python package PyYAML",
            why="it is in the extra 'images', which is not installed",
            hint=extra_line("images"),
        ) from error
    try:
        text = read_text(path, TOML_TEXT)
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not text in UTF-8", why=str(error)) from error
    try:
        # Aliases are refused: ten lines of them stand for a billion entries.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
            raise DatasetError(f"{path} has aliases (*name), which are not read", hint="write out what they stand for")
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DatasetError(f"{path} is not YAML", why=" ".join(str(error).split())) from error
    if not isinstance(document, dict):
        raise DatasetError(
            f"{path} is not a dataset of YOLO's form", why="it has no keys", hint="write `names:` and `val:`"
        )
    return document


def _root(path: Path, stated: Any) -> Path:
    """Return the folder that the parts are relative to. Ultralytics looks for it below a folder of its own settings;
    where there is none of that name beside the file, it is the file's own folder."""
    if isinstance(stated, str) and stated:
        for place in (path.parent / stated, path.parent.parent / stated):
            if place.is_dir():
                return place
    return path.parent


def _places(path: Path, root: Path, stated: Any) -> tuple[Path, ...]:
    listed = stated if isinstance(stated, list) else [stated]
    if not all(isinstance(each, str) for each in listed):
        raise DatasetError(f"{path}: a part is neither a path nor a list of paths", hint="write e.g. `val: images/val`")
    return tuple(_place(root, each) for each in listed)


def _place(root: Path, stated: str) -> Path:
    place = root / stated
    # Exports of Roboflow say `../valid/images` of the folder `valid` beside the file.
    if not place.exists() and stated.startswith("../") and (root / stated[3:]).exists():
        return root / stated[3:]
    return place


def _names(path: Path, document: dict[str, Any]) -> tuple[str, ...]:
    names = document.get("names")
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DatasetError(
            f"{path} names no classes",
            why="`names` is to be a list, or a number and a name for each from 0 on",
            hint="write e.g. `names: [person, bicycle]`",
        )
    if isinstance(count := document.get("nc"), int) and count != len(names):
        raise DatasetError(f"{path}: nc is {count}, and there are {len(names)} names", hint="correct one of them")
    return tuple(str(name) for name in names)


def _keypoints(path: Path, stated: Any) -> tuple[int, int] | None:
    if stated is None:
        return None
    if isinstance(stated, list) and len(stated) == 2 and all(isinstance(each, int) for each in stated):
        points, values = stated
        if points > 0 and values in (2, 3):
            return points, values
    raise DatasetError(
        f"{path}: kpt_shape is {stated}", hint="write points and values of each, e.g. `kpt_shape: [17, 3]`"
    )
