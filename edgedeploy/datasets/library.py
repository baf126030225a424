"""Libraries that read some formats, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.extras import extra_line


def library(module: str, extra: str, what: str) -> Any:
    """Import a library that an extra of edgedeploy brings.

    Args:
        what: needs it, as the message says it: `"recordings"`.

    Raises:
        HostError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # soundfile raises OSError where it finds no libsndfile
        raise HostError(
            f"to read {what} the Python package {module.partition('.')[0]} is needed",
            why=f"it is in the extra {extra!r}, which is not installed: {error}",
            hint=extra_line(extra),
        ) from error
