"""Where a release's time goes on a device, by the profiler of its runtime."""

from __future__ import annotations

from collections import defaultdict

import msgspec
from msgspec import Struct

from edgedeploy.device.connection import Connection
from edgedeploy.errors import DeviceError, UnsupportedError
from edgedeploy.measure.protocol import conversation
from edgedeploy.printable import printable
from edgedeploy.progress import SILENT, Progress
from edgedeploy.values.bundle import Release
from edgedeploy.values.profile import Profile, ProfiledNode, ProfiledOperator

PROFILED = "onnxruntime"
"""The backend whose runtime has a profiler that the runner can ask."""
_RUNS = 20
_COUNTED_RUNS = 5
_INSTRUCTIONS_PER_US = 1000
"""A counting board's clock goes on by one nanosecond with each instruction."""


class _Node(Struct):
    name: str
    operator: str
    calls: int
    us: int


def profile(connection: Connection, release: Release, *, progress: Progress = SILENT) -> Profile:
    """Run the release's golden inputs with the runtime's profiler, in a fresh process.

    Raises:
        UnsupportedError: the release's backend has none.
        DeviceError: the runner fails, is an older one, or sends what is no profile.
        UnreachableError: the connection was lost.
    """
    backend = release.manifest.runtime.backend
    if backend != PROFILED:
        raise UnsupportedError(
            f"{release.name} {release.id} runs on {backend}, which has no profiler",
            mend=f"edgedeploy compile … --backend {PROFILED}, and push that",
        )
    counting = connection.counts_instructions
    runs = _COUNTED_RUNS if counting or connection.emulated else _RUNS
    progress.step(f"profiling on {connection.address}")
    with conversation(connection, release) as talk:
        answer = talk.ask({"do": "profile", "runs": runs})
    try:
        nodes = msgspec.convert(answer.get("nodes"), list[_Node])
    except msgspec.ValidationError as error:
        raise DeviceError(f"{connection.address} sends what is no profile", why=printable(str(error))) from error
    if any(node.us < 0 or node.calls < 1 for node in nodes):
        raise DeviceError(f"{connection.address} sends what is no profile", why="a node took less than no time")
    factor = (_INSTRUCTIONS_PER_US if counting else 1) / runs
    total = sum(node.us for node in nodes) * factor
    listed = tuple(
        ProfiledNode(
            name=printable(node.name),
            operator=printable(node.operator),
            per_inference=node.us * factor,
            share=node.us * factor / total if total else 0.0,
        )
        for node in sorted(nodes, key=lambda node: -node.us)
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


def _by_operator(nodes: tuple[ProfiledNode, ...]) -> tuple[ProfiledOperator, ...]:
    groups: dict[str, list[ProfiledNode]] = defaultdict(list)
    for node in nodes:
        groups[node.operator].append(node)
    found = (
        ProfiledOperator(
            operator=operator,
            nodes=len(mine),
            per_inference=sum(node.per_inference for node in mine),
            share=sum(node.share for node in mine),
        )
        for operator, mine in groups.items()
    )
    return tuple(sorted(found, key=lambda operator: -operator.per_inference))
