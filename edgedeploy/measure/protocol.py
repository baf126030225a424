"""Talk to the runner on a device: requests, answers, and how a conversation ends. `messages` has the bytes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from edgedeploy.device.connection import Connection, Process
from edgedeploy.device.watchdog import SilenceLimit
from edgedeploy.foundation.errors import DeviceError, EdgedeployError
from edgedeploy.foundation.programs import last_lines
from edgedeploy.foundation.sanitize import printable
from edgedeploy.measure.messages import (
    LINE_LIMIT_BYTES,
    Arrays,
    Message,
    MessageArray,
    MessageError,
    decode,
    encode,
)
from edgedeploy.values.bundle import Release

PROTOCOL = 1
SILENCE_LIMIT_S = 600.0
"""For one load or one inference, of a large model under emulation too. A running `bench` sends a message a second."""


class Conversation:
    """Requests and answers with a runner. Requests may be sent ahead of the answers to those before."""

    def __init__(self, connection: Connection, process: Process, *, silence_limit_s: float = SILENCE_LIMIT_S) -> None:
        self._address = connection.address
        self.process = process
        """The runner's."""
        self._silence = SilenceLimit(process, silence_limit_s)
        self._sending = SilenceLimit(process, silence_limit_s)
        self.abilities: frozenset[str] = frozenset()
        """What this runner can do that runners of earlier versions cannot."""

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer, leaving out progress and arrays.

        Raises:
            DeviceError: the runner refuses, fails, does not answer in time, or says something that is not an answer.
            UnreachableError: the connection was lost.
        """
        self.send(request)
        answer, _ = self.result(self._silence.limit_s or SILENCE_LIMIT_S)
        return answer

    def result(
        self, limit_s: float, heard: Callable[[Message], None] = lambda progress: None
    ) -> tuple[dict[str, Any], Arrays]:
        """Wait for the answer to a request that takes time, and return it with its arrays.

        Args:
            limit_s: for the whole answer, however much the runner says meanwhile.
            heard: is given each message of progress before it.

        Raises:
            DeviceError, UnreachableError: as `ask`.
        """
        ends_by = time.monotonic() + limit_s
        while True:
            message, arrays = self.receive()
            if message["is"] != "progress":
                return message, arrays
            if time.monotonic() > ends_by:
                self.process.kill()
                raise DeviceError(
                    f"the runner on {self._address} did not come to an end within {limit_s:g} s and was stopped",
                    why="it reports progress, and no result",
                    hint="look at the device, then try again",
                )
            heard(message)

    def result_limit_s(self, inferences: int, seconds: float = 0.0) -> float:
        """Return how long a request may take that runs so many inferences, and measures for so many seconds besides."""
        return seconds + (inferences + 1) * (self._silence.limit_s or SILENCE_LIMIT_S)

    def send(self, request: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Send a request. Where the runner has ended, it is `receive` that raises an error: it also knows why.

        A runner that takes no input for too long is stopped.
        """
        with contextlib.suppress(BrokenPipeError), self._sending:
            for content in encode(request, arrays):
                self.process.stdin.write(content)
            self.process.stdin.flush()

    def receive(self) -> tuple[dict[str, Any], Arrays]:
        """Wait for the next message and return it with its arrays, which may be read-only.

        Raises:
            DeviceError, UnreachableError: as `ask`.
        """
        with self._silence:
            line = self.process.stdout.readline(LINE_LIMIT_BYTES)
            if not line.endswith(b"\n"):
                raise self._ended("ended") if len(line) < LINE_LIMIT_BYTES else self._nonsense("a line without an end")
            message, headers = self._decoded(line)
            arrays = {header.name: self._array(header) for header in headers}
        if message["is"] == "error":
            raise DeviceError(
                f"the runner on {self._address} cannot do that", why=printable(str(message.get("what")), limit=1000)
            )
        return message, arrays

    def field(self, message: Mapping[str, Any], name: str, kind: Any) -> Any:
        """Return `message[name]` as a value of the type `kind`.

        Raises:
            DeviceError: it is missing or of another type.
        """
        try:
            return msgspec.convert(message.get(name), kind)
        except msgspec.ValidationError as error:
            raise self._nonsense(f"{name}: {error}") from error

    def output(self, arrays: Arrays, name: str) -> np.ndarray:
        """Return `arrays[name]`.

        Raises:
            DeviceError: it is missing.
        """
        if name not in arrays:
            raise self._nonsense(f"no array {name!r}")
        return arrays[name]

    def close(self) -> None:
        """End the conversation and the runner, whatever state they are in."""
        self._silence.stop()
        self._sending.stop()
        self.process.kill()
        for file in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError, ValueError):
                file.close()

    def _decoded(self, line: bytes) -> tuple[Message, list[MessageArray]]:
        try:
            return decode(line)
        except MessageError as error:
            raise self._nonsense(str(error)) from error

    def _array(self, header: MessageArray) -> np.ndarray:
        content = self.process.stdout.read(header.size_bytes)
        if len(content) != header.size_bytes:
            raise self._ended("ended in the middle of an array")
        try:
            return header.array(content)
        except MessageError as error:
            raise self._nonsense(f"{header.name}: {error}") from error

    def _ended(self, how: str) -> DeviceError:
        if self._silence.exceeded or self._sending.exceeded:
            return DeviceError(
                f"the runner on {self._address} has been silent for {self._silence.limit_s:g} s and was stopped",
                why="the device may have hung, or the model be far too large for it",
                hint="look at the device, then try again",
            )
        try:
            completed = self.process.wait(10.0)
        except DeviceError as error:
            return DeviceError(f"the runner on {self._address} {how}", why=error.what)
        killed = completed.exit_status == 137
        return DeviceError(
            f"the runner on {self._address} {how} with exit status {completed.exit_status}",
            why=last_lines(completed.stderr) or ("it was killed: most often memory ran out" if killed else ""),
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
        silence_limit_s: a runner that does not answer for so long is taken for hung and stopped.

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
        # Everything was received: a connection that ends now does no harm.
        with contextlib.suppress(EdgedeployError):
            talk.ask({"do": "quit"})
            process.wait(10.0)
    finally:
        talk.close()
