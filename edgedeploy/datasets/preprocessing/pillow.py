"""Pillow, loaded where pictures are read, and nowhere before."""

from __future__ import annotations

import importlib
from typing import Any

from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.extras import extra_line


def pillow(module: str = "Image") -> Any:
    """Import a module of Pillow, e.g. `"Image"`.

    Raises:
        HostError: Pillow is not installed.
    """
    try:
        return importlib.import_module(f"PIL.{module}")
    except ImportError as error:
        raise HostError(
            "pictures need the Python package Pillow",
            why=f"it is in the extra 'images', which is not installed ({error})",
            hint=extra_line("images"),
        ) from error
