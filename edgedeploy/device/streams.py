"""The streams of a `Process`, over whatever takes and brings their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator


class Reader:
    """A buffered stream over a function that waits for some bytes.

    Args:
        receive: returns at least one byte, or nothing at the end.
        close: called once, when nobody reads any more.
    """

    def __init__(self, receive: Callable[[], bytes], close: Callable[[], None] = lambda: None) -> None:
        self.closed = False
        self._close = close
        self._receive_some = receive
        self._waiting = bytearray()
        self._ended = False

    def read1(self, size: int = -1) -> bytes:
        if not self._waiting and not self._ended:
            self._fill()
        return self._take(len(self._waiting) if size < 0 else size)

    def read(self, size: int = -1) -> bytes:
        while not self._ended and (size < 0 or len(self._waiting) < size):
            self._fill()
        return self._take(len(self._waiting) if size < 0 else size)

    def readline(self, limit: int = -1) -> bytes:
        searched = 0
        while True:
            end = self._waiting.find(b"\n", searched)
            if end >= 0:
                return self._take(end + 1 if limit < 0 else min(end + 1, limit))
            if 0 <= limit <= len(self._waiting):
                return self._take(limit)
            if self._ended:
                return self._take(len(self._waiting))
            searched = len(self._waiting)
            self._fill()

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._close()

    def _fill(self) -> None:
        """Get at least one byte more, or find the end."""
        self._receive()

    def _receive(self) -> None:
        chunk = self._receive_some()
        self._waiting += chunk
        self._ended = not chunk

    def _take(self, size: int) -> bytes:
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        return taken


class Writer:
    """A stream over a function that takes some bytes.

    Args:
        send: returns how many bytes it took, or raises.
        end: called once, at the end of the input.
    """

    def __init__(self, send: Callable[[memoryview], int], end: Callable[[], None]) -> None:
        self.closed = False
        self._send = send
        self._end = end

    def write(self, data: bytes) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            done += self._send(view[done:])
        return done

    def flush(self) -> None:
        pass

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._end()
