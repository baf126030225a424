"""Count instructions on a board whose clock counts them: how much work inferences are, not how long they take.

QEMU's `-icount shift=0` moves the guest's clock on by one nanosecond with each instruction that the guest executes
(https://www.qemu.org/docs/master/devel/tcg-icount.html), so what the runner takes for nanoseconds are instructions:
those of the model, and of the kernel's timer while it runs. The load of the machine that emulates changes none of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from edgedeploy.foundation.errors import DeviceError
from edgedeploy.inference.session import Feed
from edgedeploy.measure.messages import Arrays
from edgedeploy.measure.protocol import Conversation
from edgedeploy.stats.latency import median_absolute_deviation
from edgedeploy.values.measurement import InstructionCount


def load_model(talk: Conversation, model: bytes) -> None:
    """Load a model in the runner in place of what it had, to run with one thread.

    Raises:
        DeviceError: the model does not load there, in the runtime's own words; or the runner ended.
        UnreachableError: the connection was lost.
    """
    talk.send({"do": "load", "threads": 1}, {"model": np.frombuffer(model, np.uint8)})
    talk.receive()


def count_inferences(talk: Conversation, feeds: Sequence[Feed], *, samples: int) -> tuple[int, ...]:
    """Count the instructions of inferences of the model that is loaded.

    Args:
        talk: with a runner on a counting board.
        feeds: taken in turn; arrays for inputs that the model does not have are left out.
        samples: how many inferences are counted, after two that are not.

    Returns:
        Instructions of each, in order.

    Raises:
        DeviceError: the model does not run there, in the runtime's own words; or the runner ended.
        UnreachableError: the connection was lost.
    """
    bounds = {"warmup": 1, "warmup_s": 0.0, "min_samples": samples, "min_s": 0.0, "max_s": 3600.0}
    talk.send(
        {"do": "bench", **bounds, "max_samples": samples},
        {f"{index}:{name}": array for index, feed in enumerate(feeds) for name, array in feed.items()},
    )
    _, arrays = talk.result(talk.result_limit_s(samples + 2))
    counts = instructions(talk, arrays, "samples_ns")
    if len(counts) != samples:
        raise DeviceError(f"the runner counted {len(counts)} inferences, and {samples} were asked for")
    return counts


def instructions(talk: Conversation, arrays: Arrays, name: str) -> tuple[int, ...]:
    """Return an array of instructions, which a counting board's clock gives for nanoseconds.

    Raises:
        DeviceError: the array is missing, or its values are no counts.
    """
    counted = talk.output(arrays, name)
    if counted.dtype != np.int64 or counted.ndim != 1 or (counted <= 0).any():
        raise DeviceError("the device sends invalid counts", why=f"{name}: {counted.dtype} {counted.shape}")
    return tuple(counted.tolist())


def instruction_count(
    first: int,
    warmup: Sequence[int],
    counted: Sequence[int],
    *,
    load: int | None = None,
    runtime_import: int | None = None,
) -> InstructionCount:
    """Return the figures of one run.

    Args:
        first, warmup, counted: instructions of the inferences, in the order they were made; at least one is counted.
        load, runtime_import: those of loading the model, and of importing its runtime before.
    """
    return InstructionCount(
        n=len(counted),
        per_inference=statistics.median(counted),
        least=min(counted),
        most=max(counted),
        mad=median_absolute_deviation(counted),
        first_inference=first,
        warmup=tuple(warmup),
        samples=tuple(counted),
        load=load,
        runtime_import=runtime_import,
    )
