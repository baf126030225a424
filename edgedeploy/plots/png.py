"""Writes small pictures as PNG (https://www.w3.org/TR/png-3/)."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

_GREY, _COLOR = 0, 2


def png(pixels: np.ndarray) -> bytes:
    """Return a picture as PNG.

    Args:
        pixels: uint8, shape (height, width) for grey or (height, width, 3) for red, green and blue.
    """
    height, width = pixels.shape[:2]
    kind = _GREY if pixels.ndim == 2 else _COLOR
    # Before each row stands its filter: 0 is none.
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels, dtype=np.uint8))
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def data_address(picture: bytes) -> str:
    """Return a picture as an address that holds it (https://www.rfc-editor.org/rfc/rfc2397)."""
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
