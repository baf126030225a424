"""What is known of a model by reading it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from edgedeploy.values.preprocessing import EmbeddedPreprocessing

Dimension = int | str
"""A fixed extent, or the name of a dynamic one (`"?"` when the file gives it none)."""


class TensorFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input or output of a model."""

    name: str
    dtype: str
    """NumPy's name of the element type, e.g. `"float32"`."""
    shape: tuple[Dimension, ...]
    scale: float | None = None
    """Of quantized integers in `.tflite` files: they stand for (integer - zero point) * scale. None: for themselves."""
    zero_point: int | None = None
    preprocessing: EmbeddedPreprocessing | None = None
    """What is done inside the model to the pictures that this input takes; None: it takes what was prepared outside."""


class ModelFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model file, read but not run."""

    format: Literal["onnx", "tflite"]
    sha256: str
    """Of the file; with external data, of the file followed by its data files in name order."""
    size_bytes: int
    """The file and its external data."""
    producer: str
    opset: int
    """Version of the default ONNX operator set; 0 where the format has none."""
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    parameters: int
    """Elements of all weights: initializers, `Constant` nodes and packed weights, of floating or quantized type."""
    macs: int | None
    """Multiply-accumulate operations of one inference at batch 1; None when shapes are not known."""
    macs_note: str
    """What `macs` leaves out or assumes; why it is None."""
    operators: dict[str, int]
    """How often each operator occurs, subgraphs included, most frequent first."""
    notes: tuple[str, ...] = ()
    """What is taken otherwise than the file has it, a sentence each."""
