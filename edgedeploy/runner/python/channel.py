"""Messages over two files: a line of JSON, and after it the raw bytes of the arrays that it lists. See runner.py."""

from __future__ import annotations

import json
from typing import IO, Any, Dict, Iterable, List, Optional, Tuple

Message = Dict[str, Any]
Arrays = Dict[str, Any]  # numpy is imported with the engine, not before: its time is part of `import_ms`

LINE_LIMIT_BYTES = 1 << 20
NUMERIC = "biuf"  # numpy's kinds that are plain bytes: booleans, integers, floats


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
        arrays: Arrays = {}
        for name, dtype, shape in listed:
            import numpy

            size_bytes = dtype.itemsize
            for extent in shape:
                size_bytes *= extent
            content = self.source.read(size_bytes)
            if len(content) != size_bytes:
                raise EOFError("the request ends in the middle of an array")
            values = numpy.frombuffer(content, dtype=dtype).reshape(shape)
            arrays[name] = values.astype(dtype.newbyteorder("="), copy=False)
        return message, arrays

    def listed(self, entry: Message) -> Tuple[str, Any, List[int]]:
        """Name, dtype in little-endian order and shape of an array that follows."""
        import numpy

        dtype = numpy.dtype(str(entry["dtype"])).newbyteorder("<")
        shape = [int(extent) for extent in entry["shape"]]
        if dtype.kind not in NUMERIC or any(extent < 0 for extent in shape):
            raise ValueError("an array of %s with shape %s" % (dtype, shape))
        return str(entry["name"]), dtype, shape

    def send(self, message: Message, arrays: Iterable[Tuple[str, Any]] = ()) -> None:
        listed, contents = [], []
        for name, values in arrays:
            import numpy

            values = numpy.asarray(values, order="C")
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
