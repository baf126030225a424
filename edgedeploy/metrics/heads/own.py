"""A head of the user's own: `package.module:function`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgedeploy.foundation.callables import described
from edgedeploy.foundation.errors import DatasetError, EdgedeployError
from edgedeploy.metrics.heads.decoder import Decoder
from edgedeploy.values.head import Head


class OwnDecoder(Decoder):
    """Called with the outputs of a batch; returns an answer for each sample."""

    reads = "what its function expects"

    def __init__(self, head: Head, names: Sequence[str], function: Callable[[list[np.ndarray]], Any]) -> None:
        super().__init__(head, names)
        self._function = function

    def _answers(self, outputs: list[np.ndarray], size: tuple[int, int] | None) -> Sequence[Any]:
        try:
            return tuple(self._function(outputs))
        except EdgedeployError:
            raise
        except Exception as error:
            raise DatasetError(f"the head {self.head.kind} failed", why=described(error)) from error
