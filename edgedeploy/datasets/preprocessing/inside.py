"""What a model with its preprocessing inside makes of its pictures first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgedeploy.datasets.preprocessing.images import laid_out, prepare_picture
from edgedeploy.inference.session import Feed
from edgedeploy.values.model import TensorFacts
from edgedeploy.values.preprocessing import EmbeddedPreprocessing


def prepared_feed(feed: Feed, inputs: Sequence[TensorFacts]) -> Feed:
    """Return a feed as the rest of the model takes it: what heads and metrics look at.

    They read the size of the model's input off it, in pixels of which the model answers, or compare with its numbers.

    Args:
        feed: as `inputs` take it.
    """
    inside = {tensor.name: tensor.preprocessing for tensor in inputs if tensor.preprocessing is not None}
    if not inside:
        return feed
    return {name: _prepared(array, inside[name], name) if name in inside else array for name, array in feed.items()}


def _prepared(pictures: np.ndarray, embedded: EmbeddedPreprocessing, name: str) -> np.ndarray:
    declared = embedded.declared
    before = TensorFacts(name=name, dtype=embedded.dtype, shape=embedded.shape)
    ordered = pictures[..., ::-1] if embedded.swaps else pictures
    if not embedded.resizes:
        return np.stack([laid_out(each, declared, before) for each in ordered])
    return np.stack([prepare_picture(np.ascontiguousarray(each), declared, before).values for each in ordered])
