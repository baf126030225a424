"""Speed on an emulated board: two models by the instructions that the board executes for them.

Like `shipping`, this stands above the rooms: `optimize` knows nothing of devices and is handed a judge.
"""

from __future__ import annotations

import contextlib
import hashlib
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.parser

from edgedeploy.compile.build import compile_model
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import list_releases, release_id
from edgedeploy.device.address import connect
from edgedeploy.device.connection import Connection
from edgedeploy.device.emulator.board import BoardStatus, board_status, emulated_board
from edgedeploy.device.emulator.state import board_folder
from edgedeploy.errors import BusyError, DeviceError, UnsupportedError
from edgedeploy.locks import PATIENCE_S, exclusive
from edgedeploy.measure.counting import Feed, count_model, load_model
from edgedeploy.measure.protocol import Conversation, conversation
from edgedeploy.optimize.comparison import ResultFailedError
from edgedeploy.optimize.host_timing import HostTiming
from edgedeploy.progress import SILENT, Progress
from edgedeploy.sessions import Session, format_of
from edgedeploy.target.load import load_target
from edgedeploy.values.bundle import Release
from edgedeploy.values.speed import SpeedFigure
from edgedeploy.values.target import Target

TOLERANCE = 0.01
"""How far above 1 a ratio must lie, with its whole interval, to be called slower. Counts of the same model differ by
less than a thousandth; a hundredth more work is no reason to refuse a model."""

_SAMPLES = (3, 8)
"""Inferences that are counted per model, of large models and of small ones."""
_WORK = 1_000_000_000
"""Instructions. Models get as many samples as this is enough for, within `_SAMPLES`; it takes some seconds."""
_MOST_BOARDS = 8
_SYNC_TIMEOUT_S = 600.0
_CARRIER = """<ir_version: 8, opset_import: ["": 13]> carrier (float[1] x) => (float[1] y) { y = Identity(x) }"""
"""A model that does nothing: it brings the runtime and the runner to the board, which then take the others."""


@contextlib.contextmanager
def speed_judge(address: str | None, *, progress: Progress = SILENT) -> Iterator[HostTiming | GuestInstructions]:
    """Who judges speed, for the length of a `with` block; a board can also be asked for what it answers.

    Args:
        address: `board:NAME`: an emulated board. Its instructions are counted on another one of the same target,
            `NAME-counting`, which is booted when it is first needed, and shut down with the block unless it was up
            before. A board that counts instructions itself is taken as it is. None: this machine, by time.

    Raises:
        UnsupportedError: `address` is another kind of device.
        UnknownNameError: there is no such board, nor a target of that name.
    """
    if address is None:
        yield HostTiming()
        return
    if not address.startswith("board:"):
        raise UnsupportedError(
            f"speed is not judged on {address}",
            why="only emulated boards count instructions",
            mend="give --on board:rpi4, or leave it out to take this machine's time",
        )
    with contextlib.ExitStack() as stack:
        yield GuestInstructions(address, stack, progress)


class GuestInstructions:
    """Compares how many instructions an emulated board executes for an inference of each model, and runs models there
    for what they answer. A `SpeedJudge` and a `Board`; its attribute `where` names board and core.

    The board has the runtime, and a runner that stays: only models go there. Each is counted once on the same feeds.
    """

    def __init__(self, address: str, stack: contextlib.ExitStack, progress: Progress = SILENT) -> None:
        """
        Args:
            address: `board:NAME`. Nothing is booted yet.
            stack: ends the board, and the connection to it.

        Raises:
            UnknownNameError: there is no such board, nor a target of that name.
        """
        named = board_status(address.removeprefix("board:"))
        self.where = f"{address} ({_core(named.target)})"
        self._named, self._stack, self._progress = named, stack, progress
        self._runner: _Runner | None = None
        self._counts: dict[tuple[str, str, int], tuple[int, ...]] = {}

    def compare(self, source: bytes, candidate: bytes, feeds: Sequence[Feed]) -> SpeedFigure:
        """Both models on the same feeds, in the same order.

        `low` and `high` are the least and the largest ratio of two inferences of the same feed.

        Raises:
            ResultFailedError: the candidate does not load or run on the board.
            UnsupportedError: models of that format are not run on boards.
            DeviceError: the source does not load or run on the board.
            HostError, BoardError, BusyError, UnreachableError: there is no board, or it is lost.
            ValueError: there is no feed.
        """
        if not feeds:
            raise ValueError("speed is compared on at least one feed")
        if "tflite" in (format_of(source[:8]), format_of(candidate[:8])):
            raise UnsupportedError("TensorFlow Lite models are not run on emulated boards", mend="leave --on out")
        few, many = _SAMPLES
        before = self._counted(source, feeds, few)
        if many * statistics.median(before) <= _WORK:
            before = self._counted(source, feeds, many)
        try:
            after = self._counted(candidate, feeds, len(before))
        except DeviceError as error:
            raise ResultFailedError(f"on {self._named.address}: {error.why or error.what}") from error
        ratios = [b / a for a, b in zip(before, after, strict=True)]
        return SpeedFigure(
            currency="guest instructions",
            unit="instructions",
            source=statistics.median(before),
            result=statistics.median(after),
            ratio=statistics.median(ratios),
            low=min(ratios),
            high=max(ratios),
            slower=min(ratios) > 1 + TOLERANCE,
            samples=len(ratios),
            where=self.where,
        )

    def session(self, model: bytes) -> Session:
        """The model, loaded on the board, until the next one is counted or asked for.

        Raises:
            ResultFailedError: it does not load there.
            UnsupportedError: models of that format are not run on boards.
            HostError, BoardError, BusyError, UnreachableError: there is no board, or it is lost.
        """
        if format_of(model[:8]) == "tflite":
            raise UnsupportedError("TensorFlow Lite models are not run on emulated boards", mend="leave --on out")
        try:
            return _OnBoard(model, self._ready().loaded(model))
        except DeviceError as error:
            raise ResultFailedError(f"on {self._named.address}: {error.why or error.what}") from error

    def _ready(self) -> _Runner:
        self._runner = self._runner or _Runner(_own_board(self._named, self._stack, self._progress), self._stack)
        return self._runner

    def _counted(self, model: bytes, feeds: Sequence[Feed], samples: int) -> tuple[int, ...]:
        key = (hashlib.sha256(model).hexdigest(), _digest(feeds), samples)
        if key not in self._counts:
            self._counts[key] = self._ready().count(model, feeds, samples)
        return self._counts[key]


class _Runner:
    """The runner on a counting board, which is started anew when a model has ended it."""

    def __init__(self, board: BoardStatus, stack: contextlib.ExitStack) -> None:
        self._connection = stack.enter_context(connect(board.address))
        self._release = _carrier(self._connection, load_target(board.target))
        self._talks = stack.enter_context(contextlib.ExitStack())
        self._talk: Conversation | None = None

    def count(self, model: bytes, feeds: Sequence[Feed], samples: int) -> tuple[int, ...]:
        try:
            return count_model(self._open(), model, feeds, samples=samples)
        except DeviceError as error:
            self._talk = None
            self._talks.close()
            raise DeviceError(
                f"the model does not run on {self._connection.address}", why=error.why or error.what, mend=error.mend
            ) from error

    def loaded(self, model: bytes) -> Conversation:
        """The conversation, the model being what it is about now."""
        try:
            talk = self._open()
            load_model(talk, model)
        except DeviceError:
            self._talk = None
            self._talks.close()
            raise
        return talk

    def _open(self) -> Conversation:
        if self._talk is None:
            self._talk = self._talks.enter_context(conversation(self._connection, self._release))
        return self._talk


class _OnBoard:
    """A model on the board. A `Session`."""

    def __init__(self, model: bytes, talk: Conversation) -> None:
        graph = onnx.load_from_string(model).graph
        known = {initializer.name for initializer in graph.initializer}
        self.input_names = tuple(value.name for value in graph.input if value.name not in known)
        self.output_names = tuple(value.name for value in graph.output)
        self._talk = talk

    def run(self, feed: Feed) -> list[np.ndarray]:
        """All outputs, in the model's order.

        Raises:
            UnsupportedError: the model fails on this feed.
            UnreachableError: the board was lost.
        """
        self._talk.send({"do": "infer"}, {name: array for name, array in feed.items() if name in self.input_names})
        try:
            _, arrays = self._talk.receive()
            return [self._talk.output(arrays, name) for name in self.output_names]
        except DeviceError as error:
            raise UnsupportedError("the model fails on the board", why=error.why or error.what) from error


def _own_board(named: BoardStatus, stack: contextlib.ExitStack, progress: Progress) -> BoardStatus:
    """A counting board that is up, and that no other process counts on meanwhile."""
    if named.counting:
        stack.enter_context(_claim(named.name, progress, PATIENCE_S))
        return stack.enter_context(emulated_board(named.name, progress=progress))
    for number in range(1, _MOST_BOARDS + 1):
        name = f"{named.name}-counting" + (f"-{number}" if number > 1 else "")
        try:
            stack.enter_context(_claim(name, SILENT, 0.0))
        except BusyError:
            continue
        return stack.enter_context(emulated_board(name, target=named.target, counting=True, progress=progress))
    raise BusyError(f"{_MOST_BOARDS} others count on boards like {named.name}", mend="wait for one of them")


def _claim(name: str, progress: Progress, patience_s: float) -> contextlib.AbstractContextManager[None]:
    path = board_folder(name)
    return exclusive(path.with_name(f"{path.name}.count"), f"counting on {name}", progress, patience_s=patience_s)


def _carrier(connection: Connection, target: Target) -> Release:
    """The release that brings runtime and runner; it is sent when the board has not got it."""
    with tempfile.TemporaryDirectory(prefix="edgedeploy-") as folder:
        model = Path(folder) / "carrier.onnx"
        model.write_bytes(onnx.parser.parse_model(_CARRIER).SerializeToString())
        bundle = compile_model(
            model, target, Path(folder) / "bundle", name="carrier", backend="onnxruntime", golden_samples=1
        )
        identity = release_id(bundle.manifest.version, bundle.sha256)
        for release in list_releases(connection).releases:
            if (release.name, release.id) == ("carrier", identity):
                return release
        release = push(bundle, connection).release
        # Else the kernel writes it out while it is being counted.
        connection.run(["sync"], timeout_s=_SYNC_TIMEOUT_S)
        return release


def _digest(feeds: Sequence[Feed]) -> str:
    found = hashlib.sha256()
    for feed in feeds:
        for name, array in sorted(feed.items()):
            found.update(f"{name} {array.dtype} {array.shape}\n".encode())
            found.update(array.tobytes())
    return found.hexdigest()


def _core(target: str) -> str:
    found = load_target(target)
    return found.emulation.cpu if found.emulation else found.cpu.core
