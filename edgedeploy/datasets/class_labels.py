"""Labels as a table or manifest has them, read as numbers: those of classes, or measured ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.foundation.suggest import did_you_mean

_LONGEST_NAME = 1000
"""Characters of a class's name; what is longer is no label, but a text."""
_MOST_CLASSES = 10_000
"""Half of ImageNet-21k: what has more is no class, but a name or an ID."""

Kind = Literal["class numbers", "class names", "numbers"]


class ClassLabels:
    """Sees all labels once, by `observe`; then `decide` says how they are read, and `number` reads each."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.names = tuple(class_names)
        self.notes: tuple[str, ...] = ()
        self._texts: Counter[str] = Counter()
        self._whole = self._number = True
        self._kind: Kind = "class numbers"
        self._places: dict[str, int] = {}

    @property
    def is_named(self) -> bool:
        """Whether classes have names."""
        return bool(self.names) and self.is_of_classes

    def counts(self) -> list[int] | None:
        """Return how many labels are of each class; None where they are none, or too many."""
        if not self.is_of_classes or len(self._texts) > _MOST_CLASSES:
            return None
        if self._kind == "class names":
            return [self._texts[name] for name in self.names]
        numbers: Counter[int] = Counter()
        for text, count in self._texts.items():
            numbers[int(text)] += count
        most = max(numbers, default=-1)
        if min(numbers, default=0) < 0 or most > _MOST_CLASSES:
            return None
        return [numbers.get(number, 0) for number in range(max(most + 1, len(self.names)))]

    @property
    def is_of_classes(self) -> bool:
        """Whether labels are those of classes, rather than measured; after `decide`."""
        return self._kind != "numbers"

    def observe(self, label: object, where: str) -> None:
        """Look at a label.

        Raises:
            DatasetError: it is missing, is no number or text, or there are too many texts.
        """
        found = _value(label, where)
        self._whole &= isinstance(found, int)
        self._number &= not isinstance(found, str)
        text = _text(label, found)
        if text in self._texts or len(self._texts) <= _MOST_CLASSES:
            self._texts[text] += 1

    def decide(self, spec: str) -> None:
        """Choose how labels are read, by all that were seen.

        Raises:
            DatasetError: they are texts, and too many for classes.
        """
        if self._number and not (self.names and self._texts.keys() <= set(self.names)):
            self._kind = "class numbers" if self._whole else "numbers"
            return
        self._kind = "class names"
        if not self.names:
            if len(self._texts) > _MOST_CLASSES:
                raise DatasetError(
                    f"{spec}: its labels are more than {_MOST_CLASSES:,} different texts",
                    hint="choose the column of the classes with label_columns, or state task in data.toml",
                )
            self.names = tuple(sorted(self._texts))
            self.notes = (numbered_by_name(self.names),)
        self._places = {name: number for number, name in enumerate(self.names)}

    def number(self, label: object, where: str) -> int | float:
        """Return a label as a number.

        Raises:
            DatasetError: it is missing, or no label that a model of these classes has.
        """
        value = _value(label, where)
        if self._kind == "class names":
            text = _text(label, value)
            if text not in self._places:
                raise DatasetError(
                    f"{where}: there is no class {text!r:.100}",
                    why=f"class_names has {len(self.names)}: {', '.join(name[:40] for name in self.names[:10])}",
                    hint=did_you_mean(text, self.names, "add it to class_names"),
                )
            return self._places[text]
        if isinstance(value, str):
            raise DatasetError(f"{where}: the label {value!r:.100} is no number, unlike the others")
        if self.names and not 0 <= value < len(self.names):
            raise DatasetError(
                f"{where}: the label {value} is no class", why=f"class_names has {len(self.names)}, counted from 0"
            )
        return value if self._kind == "class numbers" else float(value)


def numbered_by_name(names: Sequence[str]) -> str:
    """Return the sentence that says how classes were numbered where nobody declared it."""
    listed = ", ".join(f"{number} {name!r:.42}" for number, name in enumerate(names[:6]))
    more = ", …" if len(names) > 6 else ""
    return f"classes are numbered in the order of their names: {listed}{more}; class_names states another"


def _value(label: object, where: str) -> int | float | str:
    """Return a label as the number that it is or says, else as text."""
    if isinstance(label, bool | int):
        found: int | float | str = int(label)
    elif isinstance(label, float):
        found = label
    elif isinstance(label, str) and label.strip():
        found = read_number(label)
    else:
        raise DatasetError(f"{where}: the label is missing" if label in (None, "") else _no_label(label, where))
    if isinstance(found, str) and len(found) > _LONGEST_NAME:
        raise DatasetError(f"{where}: the label is a text of {len(found):,} characters", why="no class has such a name")
    if isinstance(found, float) and not math.isfinite(found):
        raise DatasetError(f"{where}: the label is {found}")
    if isinstance(found, int) and abs(found) >= 1 << 63:
        raise DatasetError(f"{where}: the label {str(found)[:40]} is too large")
    return found


def _text(label: object, value: float | str) -> str:
    """Return a label as the name of a class: `01` stays what it is."""
    return label.strip() if isinstance(label, str) else str(value)


def _no_label(label: Any, where: str) -> str:
    return f"{where}: the label is a {type(label).__name__}, expected a number or text"


def read_number(text: str) -> int | float | str:
    """Return the number that a text says, else the text without space around it."""
    text = text.strip()
    if "_" in text or len(text) > 400:  # Python reads 1_000 as a number, and no one else does
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
