"""Why a pass left the model as it was, of whatever format."""

from __future__ import annotations

import logging
from enum import StrEnum

from msgspec import Struct

from edgedeploy.foundation.errors import EdgedeployError
from edgedeploy.foundation.sanitize import first_line
from edgedeploy.optimize.base import Pass, PassSkipped, PostconditionError

_log = logging.getLogger(__name__)


class SkipKind(StrEnum):
    """What kept a pass from changing the model. The last two are faults: of edgedeploy or of a library."""

    CANNOT = "cannot"
    """The model, the target or the data is not what the pass works on."""
    BROKE_PROMISE = "broke its promise"
    FAILED = "failed"

    @property
    def is_fault(self) -> bool:
        """Whether the pass should not have ended like that."""
        return self is not SkipKind.CANNOT


class Skip(Struct, frozen=True):
    """A pass that left the model as it was."""

    kind: SkipKind
    reason: str
    """For people; stands in the evidence."""


def skip_of(step: Pass, error: Exception) -> Skip:
    """Turn what a pass raised into why it was skipped; faults go to the log with their traceback.

    Models of the wild hold what no pass has thought of. One pass less is better than no result, and it is said: the
    model is still the one before the pass.

    Raises:
        EdgedeployError: `error` itself, when it is a fact about the user's world, such as a dataset that does not fit.
    """
    if isinstance(error, EdgedeployError):
        raise error
    if isinstance(error, PassSkipped):
        skip = Skip(SkipKind.CANNOT, error.reason)
    elif isinstance(error, PostconditionError):
        skip = Skip(SkipKind.BROKE_PROMISE, f"its result was discarded, because {error}")
    else:
        reason = f"it failed on this model ({type(error).__name__}: {first_line(error)})"
        skip = Skip(SkipKind.FAILED, reason)
    if skip.kind.is_fault:
        _log.debug("%s", step.title(), exc_info=error)
    return skip
