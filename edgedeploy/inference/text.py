"""Text as models take and give it: arrays of Python's `str`, as bytes in messages and as NumPy's `<U` in files.

ONNX strings are UTF-8. NumPy's fixed-width `<U` arrays hold every character in 4 bytes and every text at the width of
the longest, and drop NUL characters from its end: https://numpy.org/doc/stable/reference/arrays.dtypes.html
"""

from __future__ import annotations

import numpy as np

TEXT_LIMIT_CHARACTERS = 1 << 20
"""Of one text. A novel has half as many, and `<U` gives each text of an array as much room as the longest."""
ARRAY_LIMIT_BYTES = 1 << 30
"""Of an array of text as `<U`: what the runners read of a golden sample at most."""
_BYTES_PER_CHARACTER = 4


def is_text(array: np.ndarray) -> bool:
    """Return whether an array is text as a session takes and gives it."""
    return array.dtype.kind == "O"


def as_text(array: np.ndarray) -> np.ndarray:
    """Return an array of text (`<U`, NumPy's `StringDType`, or objects) as objects, each a `str`.

    Raises:
        ValueError: an element is not text, or is text that cannot be carried; the message says which and why.
    """
    try:
        texts = np.array(array, dtype=object, order="C")
    except (ValueError, SystemError) as error:
        raise ValueError(f"it holds what is no character of Unicode: {error}") from error
    longest = 0
    for place, text in enumerate(texts.flat):
        if not isinstance(text, str):
            raise ValueError(f"element {place} is {type(text).__name__}, not text")
        if problem := _problem(text):
            raise ValueError(f"element {place} {problem}")
        longest = max(longest, len(text))
    if texts.size * longest * _BYTES_PER_CHARACTER > ARRAY_LIMIT_BYTES:
        raise ValueError(
            f"{texts.size:,} texts of up to {longest:,} characters are more than 1 GiB as NumPy keeps them"
        )
    return texts


def _problem(text: str) -> str:
    if len(text) > TEXT_LIMIT_CHARACTERS:
        return f"has {len(text):,} characters; {TEXT_LIMIT_CHARACTERS:,} are the limit"
    if text.endswith("\0"):
        return "ends with a NUL character, which NumPy's files drop"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "has half of a surrogate pair, which UTF-8 has no bytes for"
    return ""


def as_fixed_width(texts: np.ndarray) -> np.ndarray:
    """Return text as NumPy's `<U`, which a file can hold without pickling.

    Args:
        texts: as `as_text` returns it.
    """
    width = max((len(text) for text in texts.flat), default=0)
    return texts.astype(f"<U{max(width, 1)}")


def encode_text(texts: np.ndarray) -> bytes:
    """Return text as a message carries it: the length in bytes of each, as uint32 little-endian, then all as UTF-8.

    Args:
        texts: as `as_text` returns it.
    """
    contents = [str(text).encode() for text in texts.flat]
    lengths = np.array([len(content) for content in contents], dtype="<u4")
    return lengths.tobytes() + b"".join(contents)


def content_bytes(array: np.ndarray) -> bytes:
    """Return what an array holds as bytes, to be hashed: of objects their contents, where `tobytes` gives addresses."""
    if array.dtype.kind not in "OT":
        return np.asarray(array, order="C").tobytes()
    if all(isinstance(element, str) for element in array.flat):
        # Text that UTF-8 has no bytes for is refused elsewhere.
        return "".join(f"{len(text)} {text}" for text in array.flat).encode(errors="surrogatepass")
    return repr(array.tolist()).encode(errors="surrogatepass")


def decode_text(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Return the text that `encode_text` made these bytes of.

    Raises:
        ValueError: the bytes are none.
    """
    count = int(np.prod(shape, dtype=np.int64))
    head = count * 4
    if head > len(content):
        raise ValueError("a text array without the lengths of its texts")
    lengths = np.frombuffer(content[:head], dtype="<u4").astype(np.int64)
    if head + int(lengths.sum()) != len(content):
        raise ValueError("a text array whose lengths do not add up")
    texts = np.empty(count, dtype=object)
    at = head
    for place, length in enumerate(lengths.tolist()):
        texts[place] = content[at : at + length].decode()
        at += length
    return texts.reshape(shape)
