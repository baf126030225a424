"""Where the guard may run a result besides this machine."""

from __future__ import annotations

from typing import Protocol

from edgedeploy.inference.session import Session


class Board(Protocol):
    """Another machine than this one, which runs models with kernels of its own."""

    where: str
    """For reasons and reports, e.g. `"board:rpi4 (cortex-a72)"`."""

    def session(self, model: bytes) -> Session:
        """The model, loaded there. It may be run until the next one is asked for.

        Raises:
            EdgedeployError: the model cannot be loaded there.
        """
