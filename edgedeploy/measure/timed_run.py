"""Time the model that a runner has loaded: one process, from its first inference to its last."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import structs

from edgedeploy.foundation.errors import DeviceError
from edgedeploy.foundation.progress import Progress
from edgedeploy.foundation.sanitize import printable
from edgedeploy.measure.durations import Durations
from edgedeploy.measure.instruction_counts import instructions
from edgedeploy.measure.messages import Arrays
from edgedeploy.measure.protocol import Conversation
from edgedeploy.stats.latency import drift
from edgedeploy.values import plausible
from edgedeploy.values.measurement import BenchSettings, DeviceState, ProcessRun

_STATES_LIMIT = 10_000
"""One comes each second; the longest profile ends after half an hour and its warm-up."""
_OF_PROGRESS = ("phase", "samples", "elapsed_s")


class Run:
    """What one process sent.

    Attributes:
        first_ns: of the first inference, on the device's clock; instructions where that counts them.
        import_ms, load_ms: None where what the device reports cannot be.
        warmup_ms, samples_ms: in the order they were taken; of the samples, one at least.
        elapsed_s: of the steady state.
        states: of the device meanwhile.
    """

    def __init__(
        self,
        talk: Conversation,
        loaded: dict[str, Any],
        found: dict[str, Any],
        arrays: Arrays,
        states: Sequence[DeviceState] = (),
    ) -> None:
        self._talk, self._arrays = talk, arrays
        self.states = tuple(states)
        self.first_ns: int = talk.field(found, "first_ns", int)
        self.elapsed_s: float = talk.field(found, "elapsed_s", float)
        if not 0 <= self.elapsed_s <= plausible.LONGEST_S:
            raise DeviceError("the device sends invalid times", why=f"elapsed_s: {self.elapsed_s:g}")
        self.import_ms = plausible.possible("import_ms", talk.field(loaded, "import_ms", float))
        load_ms = plausible.possible("load_ms", talk.field(loaded, "load_ms", float))
        # A start is both: one alone would be too short.
        self.load_ms = load_ms if self.import_ms is not None else None
        self.warmup_ms = self._milliseconds("warmup_ns")
        self.samples_ms = self._milliseconds("samples_ns")
        if not self.samples_ms:
            raise DeviceError("the device returned no timing samples")

    def instructions(self, name: str) -> tuple[int, ...]:
        """Return the instructions of inferences, which a counting board's clock gives for nanoseconds.

        Args:
            name: `"warmup_ns"` or `"samples_ns"`.

        Raises:
            DeviceError: the device sent no counts.
        """
        return instructions(self._talk, self._arrays, name)

    def process(self) -> ProcessRun:
        """Return the figures of the process."""
        return ProcessRun(
            import_ms=self.import_ms,
            load_ms=self.load_ms,
            first_inference_ms=plausible.possible("first_inference_ms", self.first_ns / 1e6),
            warmup=len(self.warmup_ms),
            samples=len(self.samples_ms),
            elapsed_s=self.elapsed_s,
            p50_ms=statistics.median(self.samples_ms),
            drift=drift(self.samples_ms),
            states=self.states,
        )

    def _milliseconds(self, name: str) -> tuple[float, ...]:
        times_ns = self._talk.output(self._arrays, name)
        longest_ns = int(plausible.LONGEST_MS * 1e6)
        if times_ns.dtype != np.int64 or times_ns.ndim != 1 or (times_ns < 0).any() or (times_ns > longest_ns).any():
            raise DeviceError("the device sends invalid times", why=f"{name}: {times_ns.dtype} {times_ns.shape}")
        return tuple((times_ns / 1e6).tolist())


def timed_run(
    talk: Conversation,
    loaded: dict[str, Any],
    bounds: Durations,
    settings: BenchSettings,
    progress: Progress,
    *,
    watched: bool = True,
) -> Run:
    """Time the model that is loaded.

    Args:
        loaded: the runner's answer to `load`.
        watched: record the device's state as well, where the runner reports it.

    Raises:
        DeviceError: the model does not run there, or the runner sends what is not its protocol.
        UnreachableError: the connection was lost.
    """
    talk.send({"do": "bench", **structs.asdict(bounds), "every_ms": settings.every_ms, "watch": watched})
    states: list[DeviceState] = []

    def heard(message: dict[str, Any]) -> None:
        if message.get("phase") == "steady":
            progress.advance(talk.field(message, "samples", int), None, "inferences")
        if watched and "state" in message and len(states) < _STATES_LIMIT:
            states.append(_state(talk, message))

    limit_s = talk.result_limit_s(bounds.warmup, bounds.warmup_s + bounds.max_s)
    message, arrays = talk.result(limit_s, heard)
    return Run(talk, loaded, message, arrays, states)


def _state(talk: Conversation, message: dict[str, Any]) -> DeviceState:
    state = talk.field(message, "state", dict[str, Any])
    try:
        reported = msgspec.convert({**state, **{key: message.get(key) for key in _OF_PROGRESS}}, DeviceState)
    except msgspec.ValidationError as error:
        raise DeviceError("the device describes its state in an unknown way", why=printable(str(error))) from error
    return plausible.only_possible(reported)
