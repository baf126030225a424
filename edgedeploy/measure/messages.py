"""The messages of a runner as bytes: a line of JSON, and after it the arrays that it lists.

`runner/python/runner.py` describes them. The device is not trusted: what it sends is bounded, checked, and never
unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

LINE_LIMIT_BYTES = 1 << 20
ARRAYS_LIMIT_BYTES = 1 << 30
"""Of one message."""

Message = dict[str, Any]
Arrays = dict[str, np.ndarray]
Kind = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"
]
_Extent = Annotated[int, Meta(ge=0, le=ARRAYS_LIMIT_BYTES)]


class MessageError(ValueError):
    """Bytes that are no message of the protocol, with the reason."""


class MessageArray(Struct, frozen=True):
    """What a message says of an array whose bytes follow it."""

    name: str
    dtype: Kind
    shape: Annotated[tuple[_Extent, ...], Meta(max_length=32)]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def extent_bytes(self) -> int:
        """What it would be without extents of 0: numpy makes no array where that is too large, even an empty one."""
        return math.prod(extent or 1 for extent in self.shape) * np.dtype(self.dtype).itemsize

    def array(self, content: bytes) -> np.ndarray:
        """Return the array of these bytes, which may be read-only."""
        dtype = np.dtype(self.dtype)
        flat: np.ndarray = np.frombuffer(content, dtype=dtype.newbyteorder("<"))
        return flat.reshape(self.shape).astype(dtype, copy=False)


def encode(request: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> list[bytes]:
    """Return a message's line and the bytes of its arrays, to be written one after the other.

    Args:
        arrays: by name, of the kinds in `Kind`, in any byte order and layout.
    """
    message, contents = dict(request), []
    if arrays:
        ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        message["arrays"] = [
            {"name": name, "dtype": array.dtype.name, "shape": array.shape} for name, array in ordered.items()
        ]
        contents = [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for array in ordered.values()]
    return [json.dumps(message).encode() + b"\n", *contents]


def decode(line: bytes) -> tuple[Message, list[MessageArray]]:
    """Return a message and the headers of the arrays that follow it.

    Raises:
        MessageError: it is none, or more would follow than `ARRAYS_LIMIT_BYTES`.
    """
    try:
        message = msgspec.json.decode(line, type=Message)
        headers = msgspec.convert(message.pop("arrays", []), list[MessageArray])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(str(error)) from error
    if not isinstance(message.get("is"), str):
        raise MessageError("a message without `is`")
    if not _fits_64_bits(message):
        raise MessageError("a number of more than 64 bits")
    if sum(header.extent_bytes for header in headers) > ARRAYS_LIMIT_BYTES:
        raise MessageError(f"arrays of more than {ARRAYS_LIMIT_BYTES:,} bytes at once")
    return message, headers


def _fits_64_bits(value: Any) -> bool:
    """Whether all whole numbers in a message have at most 64 bits: larger ones neither fit a float nor can be shown."""
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 64
    if isinstance(value, dict):
        return all(map(_fits_64_bits, value.values()))
    return not isinstance(value, list) or all(map(_fits_64_bits, value))
