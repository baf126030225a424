"""The samples that a search judges its trials on: few enough to be run dozens of times, spread over all of the data."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping

import numpy as np

from edgedeploy.datasets.dataset import Sample
from edgedeploy.inference.session import Session
from edgedeploy.optimize.guard.evaluation import Data

_MOST_SAMPLES = 512
_LEAST_SAMPLES = 48
_MOST_BYTES = 96 << 20
_SECONDS = 6.0
"""Of the processor's time, that the float model may take for all of them: a trial takes about as long again."""


class RememberingSession:
    """A session whose answers are kept, up to a limit: the float model answers each trial's samples alike."""

    def __init__(self, session: Session, *, limit_bytes: int = 256 << 20) -> None:
        self._session = session
        self._room_bytes = limit_bytes
        self._answers: dict[bytes, list[np.ndarray]] = {}
        self.input_names = session.input_names
        self.output_names = session.output_names
        self.output_shapes = session.output_shapes

    def run(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run the session, or return what it answered to the same feed before."""
        key = _digest(feed)
        if (known := self._answers.get(key)) is not None:
            return known
        outputs = self._session.run(feed)
        size_bytes = sum(output.nbytes for output in outputs)
        if size_bytes <= self._room_bytes:
            self._room_bytes -= size_bytes
            self._answers[key] = outputs
        return outputs


def _digest(feed: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for name, array in sorted(feed.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.digest()


def choose_samples(data: Data, session: Session) -> tuple[Sample, ...]:
    """Choose samples at equal distances through the data, as many as time and memory allow.

    Args:
        session: the float model; how long it takes for one sample decides how many there are.
    """
    if data.dataset is None:
        return data.generated
    first = next(data.samples())
    session.run(first.feed)
    # Of the processor: what else the machine is doing must not decide how well trials are judged.
    begun = time.process_time()
    session.run(first.feed)
    seconds = max(time.process_time() - begun, 1e-6)
    feed_bytes = max(1, sum(array.nbytes for array in first.feed.values()))
    wanted = min(_MOST_SAMPLES, max(_LEAST_SAMPLES, int(_SECONDS / seconds)), max(1, _MOST_BYTES // feed_bytes))
    return tuple(data.spread(wanted))
