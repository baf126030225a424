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

from edgedeploy.inference.element_types import TEXT, Number
from edgedeploy.inference.text import decode_text, encode_text, is_text

LINE_LIMIT_BYTES = 1 << 20
ARRAYS_LIMIT_BYTES = 1 << 30
"""Of one message."""

Message = dict[str, Any]
Arrays = dict[str, np.ndarray]
Kind = Number | Literal["str"]
_Extent = Annotated[int, Meta(ge=0, le=ARRAYS_LIMIT_BYTES)]


_TEXT_ELEMENT_BYTES = 64
"""Of an empty text in memory: an object and where it is."""


class MessageError(ValueError):
    """Bytes that are no message of the protocol, with the reason."""


class MessageArray(Struct, frozen=True):
    """What a message says of an array whose bytes follow it."""

    name: str
    dtype: Kind
    shape: Annotated[tuple[_Extent, ...], Meta(max_length=32)]
    text_bytes: _Extent = 0
    """How many bytes follow, of text: its size is not known by its type and shape."""

    @property
    def size_bytes(self) -> int:
        return self.text_bytes if self.dtype == TEXT else math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def extent_bytes(self) -> int:
        """What it would be without extents of 0: numpy makes no array where that is too large, even an empty one."""
        item_bytes = _TEXT_ELEMENT_BYTES if self.dtype == TEXT else np.dtype(self.dtype).itemsize
        return math.prod(extent or 1 for extent in self.shape) * item_bytes + self.text_bytes

    def array(self, content: bytes) -> np.ndarray:
        """Return the array of these bytes, which may be read-only.

        Raises:
            MessageError: they are not the text that was announced.
        """
        if self.dtype == TEXT:
            try:
                return decode_text(content, self.shape)
            except ValueError as error:
                raise MessageError(str(error)) from error
        dtype = np.dtype(self.dtype)
        flat: np.ndarray = np.frombuffer(content, dtype=dtype.newbyteorder("<"))
        return flat.reshape(self.shape).astype(dtype, copy=False)


def encode(request: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> list[bytes]:
    """Return a message's line and the bytes of its arrays, to be written one after the other.

    Args:
        arrays: by name, of the kinds in `Kind`, in any byte order and layout; text as `inference.text` has it.
    """
    message, contents = dict(request), []
    if arrays:
        ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        contents = [_content(array) for array in ordered.values()]
        message["arrays"] = [
            _header(name, array, content) for (name, array), content in zip(ordered.items(), contents, strict=True)
        ]
    return [json.dumps(message).encode() + b"\n", *contents]


def _content(array: np.ndarray) -> bytes:
    if is_text(array):
        return encode_text(array)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _header(name: str, array: np.ndarray, content: bytes) -> Message:
    if is_text(array):
        return {"name": name, "dtype": TEXT, "shape": array.shape, "text_bytes": len(content)}
    return {"name": name, "dtype": array.dtype.name, "shape": array.shape}


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
