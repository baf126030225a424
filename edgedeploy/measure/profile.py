"""Profile a release on a device with the profiler of its runtime."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError, UnsupportedError
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.sanitize import printable
from edgedeploy.measure.protocol import conversation
from edgedeploy.targets.backends import find_backend, usable_backends
from edgedeploy.targets.load import found_target
from edgedeploy.values.bundle import Manifest, Release
from edgedeploy.values.profile import Profile, ProfiledNode, ProfiledOperator

_RUNS = 20
_COUNTED_RUNS = 5
_INSTRUCTIONS_PER_US = 1000
"""A counting board's clock advances by one nanosecond with each instruction."""
_TRACE_LIMIT_BYTES = 64 << 20
_KERNEL = "_kernel_time"
_LONGEST_US = 1 << 40
"""Twelve days."""


class _Event(Struct):
    """Of onnxruntime's trace; times are whole microseconds
    (https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html)."""

    name: str
    ts: int = 0
    dur: int = 0
    cat: str = ""
    args: dict[str, Any] = {}


class _TraceNode(Struct):
    operator: str
    output: str
    us: int = 0


def has_profiler(backend: str) -> bool:
    """Tell whether the runtime of this backend says how long each operator takes; False for an unknown one."""
    facts = find_backend(backend)
    return facts is not None and facts.profiles


def _with_a_profiler(manifest: Manifest) -> str:
    """Return what to do for a profile: a backend with a profiler, if the release's target can have one."""
    target = found_target(manifest.target)
    usable = usable_backends(target, manifest.model.format) if target is not None else ()
    other = next((facts.name for facts in usable if facts.profiles), None)
    if other is None:
        return "profile the model on a board whose target has the backend onnxruntime"
    return f"push what this makes: edgedeploy compile MODEL --target {manifest.target} --backend {other} -o BUNDLE"


def profile(connection: Connection, release: Release, *, progress: Progress = SILENT) -> Profile:
    """Run the release's golden inputs with the runtime's profiler, in a fresh process.

    Raises:
        UnsupportedError: the release's backend has no profiler.
        DeviceError: the runner fails, is an older one, or sends no valid profile.
        UnreachableError: the connection was lost.
    """
    backend = release.manifest.runtime.backend
    if not has_profiler(backend):
        raise UnsupportedError(
            f"{release.name} {release.id} runs on {backend}, which has no profiler",
            hint=_with_a_profiler(release.manifest),
        )
    counting = connection.counts_instructions
    runs = _COUNTED_RUNS if counting or connection.emulated else _RUNS
    progress.step(f"profiling on {connection.address}")
    with conversation(connection, release) as talk:
        talk.send({"do": "profile", "runs": runs})
        _, arrays = talk.receive()
    nodes = _nodes(arrays.get("trace"), runs, connection.address)
    factor = (_INSTRUCTIONS_PER_US if counting else 1) / runs
    total = sum(node.us for node in nodes.values()) * factor
    listed = tuple(
        ProfiledNode(
            name=printable(name),
            operator=printable(node.operator),
            output=node.output,
            per_inference=node.us * factor,
            share=node.us * factor / total if total else 0.0,
        )
        for name, node in sorted(nodes.items(), key=lambda item: -item[1].us)
    )
    return Profile(
        device=connection.address,
        name=release.name,
        release=release.id,
        unit="instructions" if counting else "emulated us" if connection.emulated else "us",
        runs=runs,
        per_inference=total,
        by_operator=_by_operator(listed),
        nodes=listed,
    )


def _nodes(trace: np.ndarray | None, runs: int, address: str) -> dict[str, _TraceNode]:
    """Sum the time of each node of onnxruntime's graph over all inferences but the first.

    Raises:
        DeviceError: this is not a trace of `runs` and one more.
    """

    def invalid(why: str) -> DeviceError:
        return DeviceError(
            f"{address} sends no valid profile",
            why=printable(why),
            hint="compile the model with this version of edgedeploy, and push the bundle",
        )

    if trace is None or trace.dtype != np.uint8 or trace.nbytes > _TRACE_LIMIT_BYTES:
        raise invalid("the trace is missing or too large")
    try:
        events = msgspec.json.decode(trace.tobytes(), type=list[_Event])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(str(error)) from error
    begun = sorted(event.ts for event in events if event.name == "model_run")
    if len(begun) != 1 + runs:
        raise invalid(f"{1 + runs} inferences were asked for, and it has {len(begun)}")
    nodes: dict[str, _TraceNode] = {}
    # Inferences run one after the other: events before the second one began belong to the first.
    for event in events:
        if event.cat != "Node" or not event.name.endswith(_KERNEL) or event.ts < begun[1]:
            continue
        if not 0 <= event.dur < _LONGEST_US:
            raise invalid(f"a node took {event.dur} µs")
        name = event.name.removesuffix(_KERNEL)
        if name not in nodes:
            nodes[name] = _TraceNode(
                str(event.args.get("op_name", "")), output_in_words(event.args.get("output_type_shape"))
            )
        nodes[name].us += event.dur
    return nodes


def output_in_words(shapes: Any) -> str:
    """`[{"uint8": [1, 16, 24, 96]}]` → `"uint8 1x16x24x96"`: the first of a node's outputs.

    Args:
        shapes: `output_type_shape` of a trace, which may be anything; the words are empty where it is not of that form.
    """
    first = shapes[0] if isinstance(shapes, list) and shapes else None
    if not isinstance(first, dict) or not first:
        return ""
    dtype, shape = next(iter(first.items()))
    if not isinstance(shape, list):
        return ""
    return f"{printable(str(dtype), limit=20)} {printable('x'.join(map(str, shape)), limit=60)}".rstrip()


def _by_operator(nodes: tuple[ProfiledNode, ...]) -> tuple[ProfiledOperator, ...]:
    groups: dict[str, list[ProfiledNode]] = defaultdict(list)
    for node in nodes:
        groups[node.operator].append(node)
    found = (
        ProfiledOperator(
            operator=operator,
            nodes=len(group),
            per_inference=sum(node.per_inference for node in group),
            share=sum(node.share for node in group),
        )
        for operator, group in groups.items()
    )
    return tuple(sorted(found, key=lambda operator: -operator.per_inference))
