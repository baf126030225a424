"""From the names of classes to the numbers that a model has for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgedeploy.foundation.errors import DatasetError
from edgedeploy.foundation.suggest import did_you_mean


class ClassNumbers:
    """The classes of a dataset, in the order of a model's outputs."""

    def __init__(self, names: Sequence[str], where: str) -> None:
        """
        Args:
            names: each once.
            where: they are declared, for messages.

        Raises:
            DatasetError: a name is there twice.
        """
        self.names = tuple(names)
        self._numbers = {name: number for number, name in enumerate(self.names)}
        if len(self._numbers) < len(self.names):
            twice = next(name for number, name in enumerate(self.names) if self._numbers[name] != number)
            raise DatasetError(f"{where}: the class {twice!r} is there twice", hint="give each class a name of its own")

    def __len__(self) -> int:
        return len(self.names)

    def of(self, name: str, where: str) -> int:
        """Return the number of a class.

        Raises:
            DatasetError: there is no such class.
        """
        number = self._numbers.get(name)
        if number is None:
            raise unknown_class(repr(name), self.names, where, did_you_mean(name, self.names))
        return number

    def checked(self, number: int, where: str) -> int:
        """Return a class's number as it is.

        Raises:
            DatasetError: it is below 0, or there are not as many classes.
        """
        if number < 0 or (self.names and number >= len(self.names)):
            raise unknown_class(str(number), self.names, where)
        return number


def unknown_class(name: str, known: Iterable[str], where: str, guess: str = "") -> DatasetError:
    """Return the error for a label that is none of the classes."""
    names = list(known)
    return DatasetError(
        f"{where}: there is no class {name}",
        why=f"{len(names)} are declared: {_shown(names)}" if names else "numbers of classes begin at 0",
        hint=guess or "correct the label, or add the class to class_names in the model's order",
    )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
