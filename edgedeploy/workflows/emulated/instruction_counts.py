"""Speed on an emulated board: two models by the instructions that the board executes for them.

This is a workflow, above the rooms: `optimize` knows nothing of devices and is handed a judge.
"""

from __future__ import annotations

import contextlib
import hashlib
import statistics
from collections.abc import Sequence

import numpy as np
import onnx

from edgedeploy.device.emulator.board import board_status
from edgedeploy.foundation.errors import DeviceError, UnsupportedError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.inference.formats import ModelFormat, format_of
from edgedeploy.inference.session import Feed, Session, open_session
from edgedeploy.inference.text import content_bytes
from edgedeploy.metrics.model_comparison import ResultFailedError
from edgedeploy.targets.load import load_target
from edgedeploy.values.speed import SpeedFigure
from edgedeploy.workflows.emulated.board_runner import BoardRunner

TOLERANCE = 0.01
"""How far above 1 a ratio must lie, with its whole interval, to be called slower. Medians for the same model differ
by up to 0.13 % between processes and boots; a hundredth more work is no reason to refuse a model."""

_SAMPLES = (3, 8)
"""Inferences that are counted per model, of large models and of small ones."""
_WORK = 1_000_000_000
"""Instructions. Models get as many samples as this is enough for, within `_SAMPLES`; it takes some seconds."""


class GuestInstructions:
    """Compares how many instructions an emulated board executes for an inference of each model, and runs models there
    for what they answer. A `SpeedJudge` and a `Board`; its attribute `where` names board and core.

    The board has the runtime, and a runner that stays: only models go there. Each is counted once on the same feeds.
    """

    def __init__(
        self, address: str, stack: contextlib.ExitStack, progress: Progress = SILENT, *, budget_s: float = 60.0
    ) -> None:
        """
        Args:
            budget_s: how long the board may take for the answers of one model.
            address: `board:NAME`. Nothing is booted yet.
            stack: ends the board, and the connection to it.

        Raises:
            UnknownNameError: there is no such board, nor a target of that name.
        """
        named = board_status(address.removeprefix("board:"))
        self.where = f"{address} ({_core(named.target)})"
        self.budget_s = budget_s
        self._named, self._stack, self._progress = named, stack, progress
        self._runners: dict[ModelFormat, BoardRunner] = {}
        self._counts: dict[tuple[str, str, int], tuple[int, ...]] = {}

    def compare(self, source: bytes, candidate: bytes, feeds: Sequence[Feed]) -> SpeedFigure:
        """Both models on the same feeds, in the same order.

        `low` and `high` are the least and the largest ratio of two inferences of the same feed.

        Raises:
            ResultFailedError: the candidate does not load or run on the board.
            UnsupportedError: the board's target has no runtime in Python for models of this format.
            DeviceError: the source does not load or run on the board.
            HostError, BoardError, BusyError, UnreachableError: there is no board, or it is lost.
            ValueError: there is no feed.
        """
        if not feeds:
            raise ValueError("speed is compared on at least one feed")
        few, many = _SAMPLES
        before = self._counted(source, feeds, few)
        if many * statistics.median(before) <= _WORK:
            before = self._counted(source, feeds, many)
        try:
            after = self._counted(candidate, feeds, len(before))
        except DeviceError as error:
            raise self._failed(error) from error
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
            limit=1 + TOLERANCE,
            samples=len(ratios),
            where=self.where,
        )

    def session(self, model: bytes) -> Session:
        """The model, loaded on the board, until the next one is counted or asked for.

        Raises:
            ResultFailedError: it does not load there.
            UnsupportedError: the board's target has no runtime in Python for models of this format.
            HostError, BoardError, BusyError, UnreachableError: there is no board, or it is lost.
        """
        runner = self._ready(format_of(model[:8]))
        self._progress.step(f"loading the model on {self._named.address}")
        try:
            runner.load(model)
        except DeviceError as error:
            raise self._failed(error) from error
        return _OnBoard(model, runner)

    def _ready(self, format: ModelFormat) -> BoardRunner:
        if format not in self._runners:
            self._runners[format] = BoardRunner(self._named, self._stack, self._progress, format)
        return self._runners[format]

    def _counted(self, model: bytes, feeds: Sequence[Feed], samples: int) -> tuple[int, ...]:
        key = (hashlib.sha256(model).hexdigest(), _digest(feeds), samples)
        if key not in self._counts:
            runner = self._ready(format_of(model[:8]))
            self._progress.step(f"counting instructions on {self._named.address}")
            self._counts[key] = runner.count(model, feeds, samples)
        return self._counts[key]

    def _failed(self, error: DeviceError) -> ResultFailedError:
        return ResultFailedError(f"on {self._named.address}: {error.why or error.what}")


class _OnBoard:
    """A model on the board. A `Session`."""

    def __init__(self, model: bytes, runner: BoardRunner) -> None:
        self.input_names, self.output_names = _names(model)
        # What the float model declares is what counts.
        self.output_shapes = (None,) * len(self.output_names)
        self._model, self._runner = model, runner

    def run(self, feed: Feed) -> list[np.ndarray]:
        """All outputs, in the model's order.

        Raises:
            UnsupportedError: the model fails on this feed.
            UnreachableError: the board was lost.
        """
        taken = {name: array for name, array in feed.items() if name in self.input_names}
        try:
            arrays = self._runner.infer(self._model, taken)
        except DeviceError as error:
            raise UnsupportedError("the model fails on the board", why=error.why or error.what) from error
        return [arrays[name] for name in self.output_names]


def _names(model: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the inputs and the outputs, in the model's order."""
    if format_of(model[:8]) == "tflite":
        opened = open_session(model, "tflite", exact=True)
        return opened.input_names, opened.output_names
    graph = onnx.load_from_string(model).graph
    known = {initializer.name for initializer in graph.initializer}
    inputs = tuple(value.name for value in graph.input if value.name not in known)
    return inputs, tuple(value.name for value in graph.output)


def _digest(feeds: Sequence[Feed]) -> str:
    found = hashlib.sha256()
    for feed in feeds:
        for name, array in sorted(feed.items()):
            found.update(f"{name} {array.dtype} {array.shape}\n".encode())
            found.update(content_bytes(array))
    return found.hexdigest()


def _core(target: str) -> str:
    found = load_target(target)
    return found.emulation.cpu if found.emulation else found.cpu.core
