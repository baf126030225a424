"""Messages over two files: a line of JSON, and after it the raw bytes of the arrays that it lists. See runner.py."""

from __future__ import annotations

import json
from typing import IO, Any, Dict, Iterable, List, Optional, Tuple

Message = Dict[str, Any]
Arrays = Dict[str, Any]  # numpy is imported with the engine, not before: its time is part of `import_ms`

LINE_LIMIT_BYTES = 1 << 20
ARRAYS_LIMIT_BYTES = 1 << 31  # of one request: the largest model that can be sent, as protobuf ends there
NUMERIC = "biuf"  # numpy's kinds that are plain bytes: booleans, integers, floats
TEXT = "str"  # in memory an array of objects, each a str: onnxruntime takes and gives text so


class RequestError(Exception):
    """What is wrong with a request, in words for the person who made it."""


class FramingError(Exception):
    """The stream is not messages: where the next one begins is unknown, so the conversation ends."""


class Channel:
    """Messages over two files."""

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self.source = source
        self.sink = sink

    def receive(self) -> Tuple[Optional[Message], Arrays]:
        """The next message and its arrays; None at the end."""
        line = self.source.readline(LINE_LIMIT_BYTES)
        if not line:
            return None, {}
        try:
            message = json.loads(line.decode("utf-8"))
            listed = [self.listed(entry) for entry in message.pop("arrays", ())]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise FramingError("this is not a message: %s" % error)
        if sum(size_bytes for *_, size_bytes in listed) > ARRAYS_LIMIT_BYTES:
            raise FramingError("this is not a message: arrays of more than 2 GiB at once")
        arrays: Arrays = {}
        for name, dtype, shape, size_bytes in listed:
            import numpy

            content = self.source.read(size_bytes)
            if len(content) != size_bytes:
                raise EOFError("the request ends in the middle of an array")
            if dtype is None:
                arrays[name] = texts_of(content, shape)
                continue
            values = numpy.frombuffer(content, dtype=dtype).reshape(shape)
            arrays[name] = values.astype(dtype.newbyteorder("="), copy=False)
        return message, arrays

    def listed(self, entry: Message) -> Tuple[str, Any, List[int], int]:
        """Name, dtype in little-endian order (None: text), shape and size in bytes of an array that follows."""
        import numpy

        if entry["dtype"] == TEXT:
            shape, size_bytes = [int(extent) for extent in entry["shape"]], int(entry["text_bytes"])
            if size_bytes < 4 * product(shape) or any(extent < 0 for extent in shape):
                raise ValueError("an array of text with shape %s in %d bytes" % (shape, size_bytes))
            return str(entry["name"]), None, shape, size_bytes
        dtype = numpy.dtype(str(entry["dtype"])).newbyteorder("<")
        shape = [int(extent) for extent in entry["shape"]]
        if dtype.kind not in NUMERIC or any(extent < 0 for extent in shape):
            raise ValueError("an array of %s with shape %s" % (dtype, shape))
        return str(entry["name"]), dtype, shape, dtype.itemsize * product(shape)

    def send(self, message: Message, arrays: Iterable[Tuple[str, Any]] = ()) -> None:
        listed, contents = [], []
        for name, values in arrays:
            import numpy

            values = numpy.asarray(values, order="C")
            if values.dtype.kind == "O":
                content = bytes_of(name, values)
                entry = {"name": name, "dtype": TEXT, "shape": list(values.shape), "text_bytes": len(content)}
                listed.append(entry)
                contents.append(content)
                continue
            if values.dtype.kind not in NUMERIC:
                raise RequestError("output %r is of type %s, which is not sent" % (name, values.dtype))
            listed.append({"name": name, "dtype": values.dtype.name, "shape": list(values.shape)})
            contents.append(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
        if listed:
            message = dict(message, arrays=listed)
        self.sink.write(json.dumps(message).encode("utf-8") + b"\n")
        for content in contents:
            self.sink.write(content)
        self.sink.flush()


def product(shape: List[int]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size


def texts_of(content: bytes, shape: List[int]) -> Any:
    """Text as a message carries it: the length in bytes of each as uint32, then all of them in UTF-8."""
    import numpy

    count = product(shape)
    lengths = numpy.frombuffer(content[: 4 * count], dtype="<u4").tolist()
    if 4 * count + sum(lengths) != len(content):
        raise FramingError("an array of text whose lengths do not add up")
    texts = numpy.empty(count, dtype=object)
    at = 4 * count
    for place, length in enumerate(lengths):
        try:
            texts[place] = content[at : at + length].decode("utf-8")
        except UnicodeDecodeError as error:
            raise FramingError("an array of text that is not UTF-8: %s" % error)
        at += length
    return texts.reshape(shape)


def bytes_of(name: str, texts: Any) -> bytes:
    import numpy

    if not all(isinstance(text, str) for text in texts.flat):
        raise RequestError("output %r is of objects that are not text, which are not sent" % name)
    encoded = [text.encode("utf-8") for text in texts.flat]
    return numpy.array([len(each) for each in encoded], dtype="<u4").tobytes() + b"".join(encoded)
