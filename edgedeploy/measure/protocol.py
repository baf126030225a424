"""Talking to the runner on a device: see `ondevice/runner.py` for the messages.

The device is not trusted: what it sends is bounded, checked, and never unpickled.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from edgedeploy.device.connection import Connection, Process
from edgedeploy.errors import DeviceError
from edgedeploy.values.bundle import Release

PROTOCOL = 1
_LINE_LIMIT_BYTES = 128 << 20
"""A bench of many minutes on a fast model returns millions of samples in one line."""
_ARRAYS_LIMIT_BYTES = 1 << 30
_KINDS = "bfiu"
"""Booleans, floats, signed and unsigned integers: NumPy's kinds that need no interpretation."""

Arrays = dict[str, np.ndarray]


class _ArrayHeader(Struct, frozen=True):
    name: str
    dtype: str
    shape: tuple[int, ...]


class Conversation:
    """Requests and answers with a runner. Requests may be sent ahead of the answers to those before."""

    def __init__(self, connection: Connection, process: Process) -> None:
        self._address = connection.address
        self._process = process

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer, leaving out progress.

        Raises:
            DeviceError: the runner refuses, fails, or says something that is not an answer.
            UnreachableError: the connection was lost.
        """
        self.send(request)
        while True:
            answer, _ = self.receive()
            if answer["is"] != "progress":
                return answer

    def send(self, request: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Send a request."""
        message = dict(request)
        contents = []
        if arrays:
            little = {name: np.asarray(array, order="C") for name, array in arrays.items()}
            message["arrays"] = [
                {"name": name, "dtype": array.dtype.name, "shape": array.shape} for name, array in little.items()
            ]
            contents = [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for array in little.values()]
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            for content in contents:
                self._process.stdin.write(content)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._ended("took no more requests") from error

    def receive(self) -> tuple[dict[str, Any], Arrays]:
        """The next message and its arrays.

        Raises:
            DeviceError: as `ask`.
        """
        line = self._process.stdout.readline(_LINE_LIMIT_BYTES)
        if not line.endswith(b"\n"):
            raise self._ended("ended") if len(line) < _LINE_LIMIT_BYTES else self._nonsense("a line without an end")
        try:
            message = msgspec.json.decode(line, type=dict[str, Any])
            headers = msgspec.convert(message.pop("arrays", []), list[_ArrayHeader])
        except msgspec.MsgspecError as error:
            raise self._nonsense(str(error)) from error
        arrays = {header.name: self._array(header) for header in headers}
        if message.get("is") == "error":
            raise DeviceError(f"the runner on {self._address} cannot do that", why=str(message.get("what"))[:1000])
        if not isinstance(message.get("is"), str):
            raise self._nonsense("a message without `is`")
        return message, arrays

    def field(self, message: Mapping[str, Any], name: str, kind: Any) -> Any:
        """`message[name]`, which has to be there and of that kind.

        Raises:
            DeviceError: it is not.
        """
        try:
            return msgspec.convert(message.get(name), kind)
        except msgspec.ValidationError as error:
            raise self._nonsense(f"{name}: {error}") from error

    def _array(self, header: _ArrayHeader) -> np.ndarray:
        try:
            dtype = np.dtype(header.dtype)
        except TypeError as error:
            raise self._nonsense(f"an array of {header.dtype!r}") from error
        size_bytes = math.prod(header.shape) * dtype.itemsize
        if dtype.kind not in _KINDS or any(extent < 0 for extent in header.shape) or size_bytes > _ARRAYS_LIMIT_BYTES:
            raise self._nonsense(f"an array of {dtype} with shape {header.shape}")
        content = self._process.stdout.read(size_bytes)
        if len(content) != size_bytes:
            raise self._ended("ended in the middle of an array")
        return np.frombuffer(content, dtype=dtype.newbyteorder("<")).reshape(header.shape).astype(dtype, copy=False)

    def _ended(self, how: str) -> DeviceError:
        said = ""
        with contextlib.suppress(DeviceError):
            said = self._process.wait(10.0).stderr.decode(errors="replace").strip()
        killed = "" if said else "it may have run out of memory: look at the device's kernel log (dmesg)"
        return DeviceError(
            f"the runner on {self._address} {how}",
            why=" | ".join(said.splitlines()[-4:]) or killed or "it said nothing",
        )

    def _nonsense(self, what: str) -> DeviceError:
        return DeviceError(
            f"the runner on {self._address} sends what is not its protocol",
            why=what[:500],
            mend="push the bundle again, compiled with this version of edgedeploy",
        )


@contextlib.contextmanager
def conversation(connection: Connection, release: Release) -> Iterator[Conversation]:
    """Start the release's runner; it ends with the block, however the block ends.

    Raises:
        DeviceError: it does not start, or speaks another version of the protocol.
    """
    process = connection.start([f"{release.path}/run", "serve"])
    try:
        talk = Conversation(connection, process)
        spoken = talk.ask({"do": "hello"}).get("protocol")
        if spoken != PROTOCOL:
            raise DeviceError(
                f"the runner of {release.id} speaks protocol {spoken}, and this edgedeploy speaks {PROTOCOL}",
                mend="compile and push the bundle again",
            )
        yield talk
        with contextlib.suppress(DeviceError):
            talk.ask({"do": "quit"})
    finally:
        process.kill()
