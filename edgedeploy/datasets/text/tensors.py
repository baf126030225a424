"""Which inputs a model of text has, by their names and types, and what each takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from edgedeploy.datasets.text.tokenizer import Tokens
from edgedeploy.foundation.errors import DatasetError
from edgedeploy.inference.element_types import TEXT
from edgedeploy.values.model import TensorFacts

_WHOLE = ("int32", "int64")
_ROLES = {"mask": "mask", "type": "types", "segment": "types", "position": "positions"}
"""Parts of the names that exporters give inputs (https://huggingface.co/docs/optimum/exporters/onnx/overview)."""


class TextInputs(Struct, frozen=True):
    """The inputs, by what they take."""

    ids: TensorFacts | None
    """None: of a model that takes text itself."""
    others: tuple[tuple[TensorFacts, str], ...]
    """Each with the name of the attribute of `Tokens` that it takes."""
    past: tuple[TensorFacts, ...]
    """Keys and values of tokens before: there are none."""
    texts: tuple[TensorFacts, ...]

    @property
    def length(self) -> int | None:
        """Tokens that the model takes; None where it takes any number."""
        if self.ids is None or not self.ids.shape or not isinstance(self.ids.shape[-1], int):
            return None
        return self.ids.shape[-1]

    def arrays(self, tokens: Tokens | None, text: str) -> dict[str, np.ndarray]:
        """Return what each input takes of one text, without its batch axis."""
        found: dict[str, np.ndarray] = {}
        for facts in self.texts:
            found[facts.name] = np.full((1,) * max(len(facts.shape) - 1, 0), text, dtype=object)
        if self.ids is None or tokens is None:
            return found
        found[self.ids.name] = tokens.ids.astype(self.ids.dtype)
        for facts, role in self.others:
            found[facts.name] = getattr(tokens, role).astype(facts.dtype)
        for facts in self.past:
            shape = [extent if isinstance(extent, int) else 0 for extent in facts.shape[1:]]
            found[facts.name] = np.zeros(shape, facts.dtype)
        return found


def text_inputs(spec: str, inputs: Sequence[TensorFacts]) -> TextInputs:
    """Tell the inputs of a model of text apart.

    Raises:
        DatasetError: one is not known, or there is not one for the tokens.
    """
    texts = tuple(facts for facts in inputs if facts.dtype == TEXT)
    past = tuple(facts for facts in inputs if facts.name.startswith("past") and facts.dtype.startswith("float"))
    rest = [facts for facts in inputs if facts not in texts and facts not in past]
    roles = [(facts, role) for facts in rest if (role := _role(facts)) is not None]
    ids = [facts for facts in rest if _role(facts) is None and facts.dtype in _WHOLE and len(facts.shape) == 2]
    unknown = [facts for facts in rest if _role(facts) is None and facts not in ids]
    if unknown or len(ids) > 1 or (not ids and (roles or past or not texts)):
        listed = ", ".join(f"{facts.name!r} {facts.dtype}" for facts in inputs)
        raise DatasetError(
            f"{spec}: the model's inputs are not those of a model of text",
            why=f"expected input_ids, attention_mask, token_type_ids, position_ids, or text; found: {listed}",
            hint="for other models, give whole feeds: a folder of .npz, or package.module:function",
        )
    return TextInputs(ids[0] if ids else None, tuple(roles), past, texts)


def _role(facts: TensorFacts) -> str | None:
    name = facts.name.lower()
    return next((role for part, role in _ROLES.items() if part in name), None)
