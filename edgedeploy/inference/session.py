"""What every runtime on this machine offers alike: a loaded model that takes feeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from edgedeploy.inference.formats import ModelFormat

Feed = Mapping[str, np.ndarray]
"""An array per input of a model, by the input's name, batch axis included, in the input's dtype."""


class Session(Protocol):
    """A model that is loaded and ready to run. `HostSession` and `TfliteSession` are such."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """In the model's order."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """In the model's order."""

    @property
    def output_shapes(self) -> tuple[tuple[int | None, ...] | None, ...]:
        """As the model declares them, None for an extent or a shape that it leaves open."""

    def run(self, feed: Feed) -> list[np.ndarray]:
        """Return all outputs, in the model's order.

        Raises:
            DatasetError: the model does not take this feed.
            UnsupportedError: the model fails while it runs.
        """


SessionFactory = Callable[[bytes, bool], Session]
"""Opens a serialized model; the second argument says whether in exact arithmetic."""


def open_session(content: bytes, format: ModelFormat, *, exact: bool, threads: int | None = None) -> Session:
    """Load a serialized model in the runtime of its format.

    Args:
        exact: without graph optimizations, so that quantized values are computed in float.
        threads: by default as many as the runtime likes.

    Raises:
        InvalidFileError: it is not a model of this format.
        UnsupportedError: the runtime refuses the model, in its own words.
        HostError: the runtime is not installed.
    """
    if format == "tflite":
        from edgedeploy.inference.litert import TfliteSession

        return TfliteSession(content, exact=exact, threads=threads)
    from edgedeploy.inference.onnxruntime import HostSession

    return HostSession(content, exact=exact, threads=threads)


def arithmetic_note(session: Session) -> str:
    """Say why a session that was to be exact is not, and what runs it instead; empty where it is."""
    return str(getattr(session, "arithmetic_note", ""))
