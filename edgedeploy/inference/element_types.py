"""The element types that travel from a dataset to a model on a device and back, and why others do not."""

from __future__ import annotations

from typing import Literal, get_args

Number = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"
]
"""NumPy's names of the types that are plain numbers, in files and in messages."""
TEXT = "str"
"""Text: in memory an object array of `str` (see `text`), in files NumPy's `<U`."""

NUMBERS: frozenset[str] = frozenset(get_args(Number))
TRAVELLING = NUMBERS | {TEXT}


def travels(dtype: str) -> bool:
    """Return whether arrays of a type can be in datasets, golden samples and messages, and be given to a model.

    Args:
        dtype: as `TensorFacts` has it. The others that ONNX has are bfloat16, floats of 8 and 4 bits, integers of 4 and
            2 bits, and complex numbers: NumPy or onnxruntime's Python interface has no arrays of them.
    """
    return dtype in TRAVELLING
