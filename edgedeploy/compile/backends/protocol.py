"""What a backend is to the rest of `compile`: it knows how to put a runtime beside a model."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from edgedeploy.progress import Progress
from edgedeploy.values.bundle import Runtime
from edgedeploy.values.target import Target


class Backend(Protocol):
    """One way to execute a model on a device. `backends/NAME.py` holds one, as `BACKEND`."""

    name: str

    def refuses(self, target: Target) -> str | None:
        """Why this backend cannot serve the target, or None."""

    def lay_out(self, target: Target, folder: Path, progress: Progress) -> tuple[Runtime, str]:
        """Put all that runs the model (not the model itself) into `folder`, and say what it is and what starts it.

        The same target gives the same files. What is to be executable has its bit set.

        Returns:
            The runtime, and the path in `folder` of the program that speaks the runner's protocol.

        Raises:
            HostError: the network, a program or disk space is missing.
            UnsupportedError: there is no runtime for this target.
        """
