"""Load a release's model in a runner, with the settings that a measurement asks for."""

from __future__ import annotations

from typing import Any

from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.foundation.progress import Progress
from edgedeploy.measure.protocol import Conversation, conversation
from edgedeploy.values.bundle import Release
from edgedeploy.values.measurement import BenchSettings
from edgedeploy.values.plausible import possible


def load(talk: Conversation, release: Release, settings: BenchSettings, *, cold: bool = False) -> dict[str, Any]:
    """Load the release's model with the threads and on the CPUs that `settings` names.

    Args:
        cold: with the release's files read from the disk.

    Returns:
        The runner's answer.

    Raises:
        UnsupportedError: the runner is of an earlier version, and cannot do what `settings` asks for.
        DeviceError: the model does not load there, or not on these CPUs; or the runner ended.
        UnreachableError: the connection was lost.
    """
    wanted = {"affinity": bool(settings.affinity), "every_ms": settings.every_ms is not None}
    missing = [name for name, is_wanted in wanted.items() if is_wanted and name not in talk.abilities]
    if missing:
        raise UnsupportedError(
            f"the runner of {release.id} does not know {' and '.join(missing)}",
            why="an earlier version of edgedeploy made it",
            hint="compile the model with this version of edgedeploy, and push the bundle",
        )
    affinity = settings.affinity or None
    return talk.ask({"do": "load", "threads": settings.threads, "affinity": affinity, "cold": cold})


def cold_load_ms(
    connection: Connection, release: Release, settings: BenchSettings, progress: Progress
) -> tuple[float | None, float | None]:
    """Time a start in a process of its own, with the release's files read from the disk.

    Returns:
        Milliseconds of importing the runtime, and of loading the model; None for both on an emulated board, of a runner
        of an earlier version, and where `settings` does not ask for it; for one where it cannot be.

    Raises:
        As `load`.
    """
    if connection.emulated or not settings.cold_load:
        return None, None
    with conversation(connection, release) as talk:
        if "cold" not in talk.abilities:
            return None, None
        progress.step(f"loading {release.id} on {connection.address} from its disk")
        loaded = load(talk, release, settings, cold=True)
        return (
            possible("cold_import_ms", talk.field(loaded, "import_ms", float)),
            possible("cold_load_ms", talk.field(loaded, "load_ms", float)),
        )
