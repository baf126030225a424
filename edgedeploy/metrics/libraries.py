"""Libraries that count for some metrics, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.extras import extra_line


def library(module: str, extra: str, metric: str) -> Any:
    """Import a library that an extra of edgedeploy brings.

    Raises:
        HostError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise HostError(
            f"the metric {metric} needs the Python package {module.partition('.')[0]}",
            why=f"it is in the extra {extra!r}, which is not installed",
            hint=extra_line(extra),
        ) from error
