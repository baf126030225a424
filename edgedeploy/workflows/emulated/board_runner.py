"""A runner on an emulated board that counts instructions: it stays, and takes one model after the other.

This is a workflow, above the rooms: it builds, boots, sends and runs with what they offer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import onnx
import onnx.parser

from edgedeploy.compile.build import compile_model
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import list_releases, release_id
from edgedeploy.device.address import connect
from edgedeploy.device.connection import Connection
from edgedeploy.device.emulator.board import BoardStatus, board_status, emulated_board
from edgedeploy.device.emulator.state import board_folder
from edgedeploy.device.emulator.systems import target_with
from edgedeploy.foundation.errors import BusyError, DeviceError, UnknownNameError
from edgedeploy.foundation.locks import PATIENCE_S, exclusive
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.scratch import scratch_folder
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.inference.litert import require_tflite
from edgedeploy.inference.session import Feed
from edgedeploy.measure.instruction_counts import count_inferences, load_model
from edgedeploy.measure.messages import Arrays
from edgedeploy.measure.protocol import Conversation, conversation
from edgedeploy.model.tflite_file import write_tflite
from edgedeploy.values.bundle import Release
from edgedeploy.values.target import Target

MOST_BOARDS = 8
_SYNC_TIMEOUT_S = 600.0
_HOST_MODEL = """<ir_version: 8, opset_import: ["": 13]> carrier (float[1] x) => (float[1] y) { y = Identity(x) }"""
"""A model that does nothing: it brings the runtime and the runner to the board, which then take the others."""

_Answer = TypeVar("_Answer")


class BoardRunner:
    """A board, booted, and a runner on it.

    A runner that fails is ended. One that has had other models before gets a second chance, as a new process: what is
    left of those is no fault of the next.
    """

    def __init__(
        self,
        named: BoardStatus,
        stack: contextlib.ExitStack,
        progress: Progress = SILENT,
        format: ModelFormat = "onnx",
    ) -> None:
        """
        Args:
            named: a board that counts, or one whose target is meant: then another one of that target is booted.
            stack: ends the runner, the connection and the board, unless that was up before.
            format: of all models that it is to have.

        Raises:
            UnsupportedError: the board's target has no runtime in Python for this format.
            HostError, BoardError, BusyError, UnreachableError: there is no such board to be had.
        """
        board = claim_board(named, stack, progress)
        progress.step(f"bringing the runtime to {board.address}")
        self._connection = stack.enter_context(connect(board.address))
        self._release = host_release(self._connection, target_with(board.target, board.os), format)
        self._talks = stack.enter_context(contextlib.ExitStack())
        self._talk: Conversation | None = None
        self._loaded: bytes | None = None

    def load(self, model: bytes) -> None:
        """Load a model, if it is not the one that is loaded.

        Raises:
            DeviceError: it does not load there, in the runtime's own words.
        """
        self._do(model, lambda talk: None)

    def count(self, model: bytes, feeds: Sequence[Feed], samples: int) -> tuple[int, ...]:
        """Instructions of so many inferences of a model; `count_inferences` says more.

        Raises:
            DeviceError: the model does not load or run there, in the runtime's own words.
            UnreachableError: the board was lost.
        """
        return self._do(model, lambda talk: count_inferences(talk, feeds, samples=samples))

    def infer(self, model: bytes, feed: Feed) -> Arrays:
        """The model's outputs, by name.

        Raises:
            DeviceError, UnreachableError: as `count`.
        """

        def ask(talk: Conversation) -> Arrays:
            talk.send({"do": "infer"}, feed)
            return talk.receive()[1]

        return self._do(model, ask)

    def _do(self, model: bytes, work: Callable[[Conversation], _Answer]) -> _Answer:
        while True:
            is_new = self._talk is None
            try:
                if self._talk is None:
                    self._talk = self._talks.enter_context(conversation(self._connection, self._release))
                if self._loaded != model:
                    load_model(self._talk, model)
                    self._loaded = model
                return work(self._talk)
            except DeviceError:
                self._talk = self._loaded = None
                self._talks.close()
                if is_new:
                    raise


def claim_board(named: BoardStatus, stack: contextlib.ExitStack, progress: Progress) -> BoardStatus:
    """Boot a board that counts, or take one that is up, and keep other processes from counting on it meanwhile."""
    if named.counting:
        stack.enter_context(_claim(named.name, progress, PATIENCE_S))
        return stack.enter_context(emulated_board(named.name, progress=progress))
    for number in range(1, MOST_BOARDS + 1):
        name = f"{named.name}-counting" + (f"-{number}" if number > 1 else "")
        if _is_another(name, named):
            continue
        try:
            stack.enter_context(_claim(name, SILENT, 0.0))
        except BusyError:
            continue
        return stack.enter_context(
            emulated_board(name, target=named.target, os=named.os, counting=True, progress=progress)
        )
    raise BusyError(f"{MOST_BOARDS} others count on boards like {named.name}", hint="wait for one of them")


def _is_another(name: str, named: BoardStatus) -> bool:
    """Tell whether the board that would count for `named` was made for one of another kind or release."""
    with contextlib.suppress(UnknownNameError):
        found = board_status(name)
        return found.state != "absent" and (found.target, found.os) != (named.target, named.os)
    return False


def _claim(name: str, progress: Progress, patience_s: float) -> contextlib.AbstractContextManager[None]:
    path = board_folder(name)
    return exclusive(path.with_name(f"{path.name}.count"), f"counting on {name}", progress, patience_s=patience_s)


def host_release(connection: Connection, target: Target, format: ModelFormat) -> Release:
    """Return the release that brings runtime and runner to the board, sent now unless it is there."""
    name, backend = f"carrier-{format}", {"onnx": "onnxruntime", "tflite": "tflite"}[format]
    with scratch_folder() as folder:
        model = Path(folder) / f"carrier.{format}"
        model.write_bytes(tflite_host_model() if format == "tflite" else onnx_host_model())
        bundle = compile_model(model, target, Path(folder) / "bundle", name=name, backend=backend, golden_samples=1)
        identity = release_id(bundle.manifest.version, bundle.sha256)
        for release in list_releases(connection).releases:
            if (release.name, release.id) == (name, identity):
                return release
        release = push(bundle, connection).release
        # Else the kernel writes it out while it is being counted.
        connection.run(["sync"], timeout_s=_SYNC_TIMEOUT_S)
        return release


def onnx_host_model() -> bytes:
    """Make an ONNX model whose output is its input."""
    content: bytes = onnx.parser.parse_model(_HOST_MODEL).SerializeToString()
    return content


def tflite_host_model() -> bytes:
    """Make a TensorFlow Lite model whose output is its input's absolute value; no operator of it does nothing."""
    schema = require_tflite("ai_edge_litert.schema_py_generated")
    numbers = {"type": schema.TensorType.FLOAT32, "buffer": 0}
    graph = schema.SubGraphT(
        tensors=[schema.TensorT(name=name, shape=[1], **numbers) for name in (b"x", b"y")],
        operators=[schema.OperatorT(opcodeIndex=0, inputs=[0], outputs=[1])],
        inputs=[0],
        outputs=[1],
    )
    code = schema.OperatorCodeT(
        builtinCode=schema.BuiltinOperator.ABS, deprecatedBuiltinCode=schema.BuiltinOperator.ABS
    )
    model = schema.ModelT(version=3, buffers=[schema.BufferT()], operatorCodes=[code], subgraphs=[graph])
    return write_tflite(model)
