"""Whether arrays fit a model's inputs: by name, dtype and shape.

Numbers are taken as they are or widened within their kind (float16 → float32, int32 → int64), which loses nothing.
Text is NumPy's text (`<U`); a callable may give arrays of `str` objects too.
Everything else is refused: float64 for float32 loses digits, and uint8 for float32 is mostly a picture that somebody
forgot to scale. Values are not looked at: NaN is data.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgedeploy.datasets.base import LABELS
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.inference.element_types import TEXT, travels
from edgedeploy.inference.text import as_text
from edgedeploy.values.model import Dimension, TensorFacts


def check_names(where: str, found: Iterable[str], inputs: Mapping[str, TensorFacts]) -> bool:
    """Check that arrays have the names of the model's inputs, and return whether there are labels beside them.

    Args:
        where: the arrays are, for messages.
        found: names of the arrays.

    Raises:
        DatasetError: a name is missing or unknown.
    """
    found = set(found)
    labelled = LABELS in found and LABELS not in inputs
    if labelled:
        found.discard(LABELS)
    missing, unknown = sorted(inputs.keys() - found), sorted(found - inputs.keys())
    if missing:
        near = difflib.get_close_matches(missing[0], unknown, n=1) or unknown[:1]
        raise DatasetError(
            f"{where} has no array {missing[0]!r}",
            why=f"expected an array per input: {_listed(sorted(inputs))}; found: {_listed(sorted(found))}",
            hint=f"rename {near[0]!r} to {missing[0]!r}" if near else f"add {missing[0]!r}",
        )
    if unknown:
        raise DatasetError(
            f"{where} has an array {unknown[0]!r} that is no input of the model",
            why=f"inputs: {_listed(sorted(inputs))}",
            hint=f"leave it out, or name it {LABELS!r} if that is what it holds",
        )
    return labelled


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10]) or "none"
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown


def check_dtype(where: str, facts: TensorFacts, found: np.dtype) -> None:
    """Check that an array's values can be fed to an input: of its dtype, or widened to it within their kind.

    Raises:
        DatasetError: they cannot.
    """
    if not travels(facts.dtype):
        raise DatasetError(
            f"{where}: input {facts.name!r} takes {facts.dtype}, which a dataset cannot hold",
            hint="export the model with float32 inputs",
        )
    if facts.dtype == TEXT:
        if found.kind not in _TEXT_KINDS:
            raise _no_text(where, facts.name, found)
        return
    expected = np.dtype(facts.dtype)
    if found == expected or (found.kind == expected.kind and np.can_cast(found, expected, "safe")):
        return
    if found.kind in _TEXT_KINDS or found.kind == "S":
        hint = f"save numbers: the model was trained with {facts.dtype}, so encode the text as it was encoded then"
    elif found.kind in "Mm":
        hint = f"save numbers, counted from the moment and in the unit that the model was trained with: {facts.dtype}"
    else:
        hint = f"save {facts.name}.astype(numpy.{facts.dtype}), scaled as the model was trained"
    raise DatasetError(f"{where}: array {facts.name!r} has dtype {_said(found)}, expected {_said(expected)}", hint=hint)


_TEXT_KINDS = "UTO"
"""Of NumPy: text of one width, text of any width, and objects, each of which is looked at in `convert`."""


def _no_text(where: str, name: str, found: np.dtype) -> DatasetError:
    hint = f"save {name}.astype(str)"
    if found.kind == "S":
        hint = f"save numpy.char.decode({name}, 'utf-8'): bytes do not say which characters they are"
    return DatasetError(f"{where}: array {name!r} has dtype {_said(found)}, expected text", hint=hint)


def _said(dtype: np.dtype) -> str:
    return {"U": "text", "T": "text", "S": "bytes", "O": "object"}.get(dtype.kind, dtype.name)


def convert(where: str, facts: TensorFacts, array: np.ndarray) -> np.ndarray:
    """Return an array in the input's dtype and C order; text as objects, each a `str`.

    Raises:
        DatasetError: it is an array of text, and an element of it is not text that a model can be given.
    """
    if facts.dtype != TEXT:
        return np.asarray(array, dtype=facts.dtype, order="C")
    try:
        return as_text(array)
    except ValueError as error:
        raise DatasetError(
            f"{where}: array {facts.name!r} cannot be given to the model",
            why=str(error),
            hint="give every element as text of at most a million characters; for a missing value, the text that the "
            "model was trained with in its place",
        ) from error


def is_dynamic(extent: Dimension) -> bool:
    """Return whether the model leaves an extent open."""
    return not isinstance(extent, int)


def fits(expected: Sequence[Dimension], found: Sequence[int]) -> bool:
    """Return whether a shape is one that an input takes."""
    return len(expected) == len(found) and all(
        is_dynamic(want) or want == have for want, have in zip(expected, found, strict=True)
    )


def extents(shape: Sequence[Dimension]) -> list[str]:
    """Return a shape's extents for messages."""
    return [str(extent) for extent in shape]
