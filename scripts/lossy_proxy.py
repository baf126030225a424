"""A TCP proxy on loopback that delays, and cuts: the bad network of the benchmarks, without root and without netem."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator

_CHUNK_BYTES = 64 << 10


class LossyProxy:
    """Passes connections on to a port of this machine, badly.

    Bytes arrive `delay_s` after they were sent, each way, however many are on their way. Each time that
    `cut_after_bytes` have passed in both directions together every connection is reset, `cuts` times; what comes later
    passes.
    """

    def __init__(
        self, to_port: int, *, delay_s: float = 0.0, cut_after_bytes: int | None = None, cuts: int = 1
    ) -> None:
        self._to_port, self._delay_s, self._left_bytes = to_port, delay_s, cut_after_bytes
        self._cut_after_bytes, self._cuts, self._cuts_made = cut_after_bytes, cuts, 0
        self.passed_bytes = 0
        """In both directions."""
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut = False
        """Whether it has cut yet."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        with self._lock:
            connections, self._open = self._open, set()
        _reset(connections)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to_port))
            except OSError:
                near.close()
                continue
            for each in (near, far):
                # What it delays is what it was told to, and nothing else.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                era = self._cuts_made
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                threading.Thread(target=self._read, args=(source, waiting), daemon=True).start()
                threading.Thread(target=self._write, args=(sink, waiting, era), daemon=True).start()

    def _read(self, source: socket.socket, waiting: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        while True:
            try:
                chunk = source.recv(_CHUNK_BYTES)
            except OSError:
                chunk = b""
            waiting.put((time.monotonic() + self._delay_s, chunk))
            if not chunk:
                return

    def _write(self, sink: socket.socket, waiting: queue.SimpleQueue[tuple[float, bytes]], era: int) -> None:
        while True:
            due, chunk = waiting.get()
            time.sleep(max(0.0, due - time.monotonic()))
            answer = self._allowed(len(chunk), era)
            if answer is None:
                return
            allowed, doomed = answer
            with contextlib.suppress(OSError):
                sink.sendall(chunk[:allowed])
                if not chunk:
                    sink.shutdown(socket.SHUT_WR)
            _reset(doomed)
            if not chunk or doomed:
                return

    def _allowed(self, size_bytes: int, era: int) -> tuple[int, set[socket.socket]] | None:
        """Ask whether a connection that began after `era` cuts may pass `size_bytes`.

        Returns:
            How many of them may pass, and which sockets to reset after them. A connection that begins after a cut is
            not among them: whoever was cut off may be back before the last socket is reset. None when this connection
            was reset.
        """
        with self._lock:
            if era != self._cuts_made:
                return None
            if self._left_bytes is None or self._cuts_made == self._cuts:
                self.passed_bytes += size_bytes
                return size_bytes, set()
            allowed = min(size_bytes, self._left_bytes)
            self._left_bytes -= allowed
            self.passed_bytes += allowed
            doomed: set[socket.socket] = set()
            if allowed < size_bytes:
                self.cut = True
                self._cuts_made += 1
                self._left_bytes = self._cut_after_bytes
                doomed, self._open = self._open, set()
            return allowed, doomed


def _reset(connections: set[socket.socket]) -> None:
    """End connections without a farewell (RST), as a router that forgot them does."""
    for each in connections:
        with contextlib.suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            each.shutdown(socket.SHUT_RDWR)
            each.close()


@contextlib.contextmanager
def lossy_proxy(
    to_port: int, *, delay_s: float = 0.0, cut_after_bytes: int | None = None, cuts: int = 1
) -> Iterator[LossyProxy]:
    """A proxy for the length of a `with` block."""
    proxy = LossyProxy(to_port, delay_s=delay_s, cut_after_bytes=cut_after_bytes, cuts=cuts)
    try:
        yield proxy
    finally:
        proxy.close()
