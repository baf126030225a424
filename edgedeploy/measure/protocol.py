"""Talking to the runner on a device: see `runner/python/runner.py` for the messages.

The device is not trusted: what it sends is bounded, checked, and never unpickled.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from edgedeploy.device.connection import Connection, Process
from edgedeploy.device.watchdog import SilenceLimit
from edgedeploy.foundation.errors import DeviceError, EdgedeployError
from edgedeploy.foundation.sanitize import printable
from edgedeploy.values.bundle import Release

PROTOCOL = 1
_LINE_LIMIT_BYTES = 1 << 20
_ARRAYS_LIMIT_BYTES = 1 << 30
"""Of one message."""
SILENCE_LIMIT_S = 600.0
"""For one load or one inference, of a large model under emulation too. `bench` says every second that it is alive."""

Arrays = dict[str, np.ndarray]


class _ArrayHeader(Struct, frozen=True):
    name: str
    dtype: Literal[
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
    ]
    shape: Annotated[tuple[Annotated[int, Meta(ge=0, le=_ARRAYS_LIMIT_BYTES)], ...], Meta(max_length=32)]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def extent_bytes(self) -> int:
        """What it would be without extents of 0: numpy makes no array where that is too large, even an empty one."""
        return math.prod(extent or 1 for extent in self.shape) * np.dtype(self.dtype).itemsize


class Conversation:
    """Requests and answers with a runner. Requests may be sent ahead of the answers to those before."""

    def __init__(self, connection: Connection, process: Process, *, silence_limit_s: float = SILENCE_LIMIT_S) -> None:
        self._address = connection.address
        self._process = process
        self._silence = SilenceLimit(process, silence_limit_s)
        self.abilities: frozenset[str] = frozenset()
        """What this runner can do of what those of earlier versions could not."""

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer, leaving out progress and arrays.

        Raises:
            DeviceError: the runner refuses, fails, is silent for too long, or says something that is not an answer.
            UnreachableError: the connection was lost.
        """
        self.send(request)
        while True:
            answer, _ = self.receive()
            if answer["is"] != "progress":
                return answer

    def send(self, request: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Send a request. That the runner has ended is not told here but by `receive`, which also knows why."""
        message = dict(request)
        contents = []
        if arrays:
            ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
            message["arrays"] = [
                {"name": name, "dtype": array.dtype.name, "shape": array.shape} for name, array in ordered.items()
            ]
            contents = [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for array in ordered.values()]
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            for content in contents:
                self._process.stdin.write(content)
            self._process.stdin.flush()

    def receive(self) -> tuple[dict[str, Any], Arrays]:
        """The next message and its arrays, which may be read-only.

        Raises:
            DeviceError, UnreachableError: as `ask`.
        """
        with self._silence:
            line = self._process.stdout.readline(_LINE_LIMIT_BYTES)
            if not line.endswith(b"\n"):
                raise self._ended("ended") if len(line) < _LINE_LIMIT_BYTES else self._nonsense("a line without an end")
            message, headers = self._parsed(line)
            arrays = {header.name: self._array(header) for header in headers}
        if message["is"] == "error":
            raise DeviceError(
                f"the runner on {self._address} cannot do that", why=printable(str(message.get("what")), limit=1000)
            )
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

    def output(self, arrays: Arrays, name: str) -> np.ndarray:
        """`arrays[name]`, which has to be there.

        Raises:
            DeviceError: it is not.
        """
        if name not in arrays:
            raise self._nonsense(f"no array {name!r}")
        return arrays[name]

    def close(self) -> None:
        """End the conversation and the runner, whatever state they are in."""
        self._silence.stop()
        self._process.kill()
        for file in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError, ValueError):
                file.close()

    def _parsed(self, line: bytes) -> tuple[dict[str, Any], list[_ArrayHeader]]:
        try:
            message = msgspec.json.decode(line, type=dict[str, Any])
            headers = msgspec.convert(message.pop("arrays", []), list[_ArrayHeader])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._nonsense(str(error)) from error
        if not isinstance(message.get("is"), str):
            raise self._nonsense("a message without `is`")
        if not _fits_64_bits(message):
            raise self._nonsense("a number of more than 64 bits")
        if sum(header.extent_bytes for header in headers) > _ARRAYS_LIMIT_BYTES:
            raise self._nonsense(f"arrays of more than {_ARRAYS_LIMIT_BYTES:,} bytes at once")
        return message, headers

    def _array(self, header: _ArrayHeader) -> np.ndarray:
        content = self._process.stdout.read(header.size_bytes)
        if len(content) != header.size_bytes:
            raise self._ended("ended in the middle of an array")
        dtype = np.dtype(header.dtype)
        array: np.ndarray = np.frombuffer(content, dtype=dtype.newbyteorder("<"))
        return array.reshape(header.shape).astype(dtype, copy=False)

    def _ended(self, how: str) -> DeviceError:
        if self._silence.exceeded:
            return DeviceError(
                f"the runner on {self._address} has been silent for {self._silence.limit_s:g} s and was stopped",
                why="the device may have hung, or the model be far too large for it",
                hint="look at the device, then try again",
            )
        try:
            completed = self._process.wait(10.0)
        except DeviceError as error:
            return DeviceError(f"the runner on {self._address} {how}", why=error.what)
        said = [printable(line) for line in completed.stderr.decode(errors="replace").strip().splitlines()[-4:]]
        killed = completed.exit_status == 137
        return DeviceError(
            f"the runner on {self._address} {how} with exit status {completed.exit_status}",
            why=" | ".join(said) or ("something killed it, most often for want of memory" if killed else ""),
            hint="look at the device's kernel log: dmesg | grep -i 'out of memory'" if killed else "",
        )

    def _nonsense(self, what: str) -> DeviceError:
        return DeviceError(
            f"the runner on {self._address} sends what is not its protocol",
            why=printable(what, limit=500),
            hint="compile the model with this version of edgedeploy, and push the bundle",
        )


@contextlib.contextmanager
def conversation(
    connection: Connection, release: Release, *, silence_limit_s: float = SILENCE_LIMIT_S
) -> Iterator[Conversation]:
    """Start the release's runner; it ends with the block, however the block ends.

    Args:
        silence_limit_s: a runner that is asked and says nothing for so long is taken for hung.

    Raises:
        DeviceError: it does not start, or speaks another version of the protocol.
        UnreachableError: the connection was lost.
    """
    process = connection.start([f"{release.path}/{release.manifest.runner}", "serve"])
    talk = Conversation(connection, process, silence_limit_s=silence_limit_s)
    try:
        hello = talk.ask({"do": "hello", "brief": True})
        spoken = hello.get("protocol")
        if spoken != PROTOCOL:
            raise DeviceError(
                f"the runner of {release.id} speaks another version of the protocol",
                why=f"it speaks {printable(repr(spoken))}, this edgedeploy {PROTOCOL}",
                hint="compile the model with this version of edgedeploy, and push the bundle",
            )
        talk.abilities = frozenset(talk.field(hello, "can", list[str] | None) or ())
        yield talk
        # All is known that was asked for: a connection that ends now costs nothing.
        with contextlib.suppress(EdgedeployError):
            talk.ask({"do": "quit"})
            process.wait(10.0)
    finally:
        talk.close()


def _fits_64_bits(value: Any) -> bool:
    """Whether all whole numbers in a message are such as devices have: others are neither floats nor shown in words."""
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 64
    if isinstance(value, dict):
        return all(map(_fits_64_bits, value.values()))
    return not isinstance(value, list) or all(map(_fits_64_bits, value))
