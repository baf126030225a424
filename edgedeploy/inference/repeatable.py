"""Refuse models that answer otherwise each time: nothing that is computed later could be held against their answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.inference.session import Feed, Session

RANDOM = (
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Bernoulli",
    "Multinomial",
    "RANDOM_UNIFORM",
    "RANDOM_STANDARD_NORMAL",
    "MULTINOMIAL",
)
"""Operators of ONNX and of TensorFlow Lite that draw random numbers."""
_IN_TRAINING = "Dropout"
_TOLERANCE = 1e-3
"""Of the largest value of an output. Threads add in another order each time, which moves the last digits only."""


def refuse_random(session: Session, feed: Feed, first: Sequence[np.ndarray], operators: Collection[str]) -> None:
    """Run a model once more on a feed and hold the answer against the first one.

    Args:
        first: outputs of the first run.
        operators: of the model, by name; those that draw random numbers are named in the message.

    Raises:
        UnsupportedError: an output is another one.
    """
    for name, before, after in zip(session.output_names, first, session.run(feed), strict=True):
        if _same(before, after):
            continue
        drawn = sorted(each for each in operators if each in RANDOM)
        why = f"output {name!r} is another one when the same input is given again"
        if drawn:
            why += f": operators in it draw random numbers ({', '.join(drawn)})"
        elif _IN_TRAINING in operators:
            why += f": a {_IN_TRAINING} in it is in training mode"
        raise UnsupportedError(
            "the model does not answer the same twice, so that no device can be checked against it",
            why=why,
            hint="export it for inference (PyTorch: model.eval() first; Keras: training=False), and make its random "
            "numbers, if it needs some, an input",
        )


def _same(before: np.ndarray, after: np.ndarray) -> bool:
    if before.shape != after.shape:
        return False
    if before.dtype.kind not in "fc":
        return bool((before == after).all())
    finite = np.isfinite(before)
    if not np.array_equal(finite, np.isfinite(after)):
        return False
    wide = before[finite].astype(np.complex128 if before.dtype.kind == "c" else np.float64)
    moved = np.abs(wide - after[finite]).max(initial=0.0)
    return bool(moved <= _TOLERANCE * np.abs(wide).max(initial=0.0))
