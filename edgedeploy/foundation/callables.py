"""Load a user's Python object that is named as `package.module:callable`."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgedeploy.foundation.errors import UnknownNameError

_log = logging.getLogger(__name__)

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_object_name(text: str) -> bool:
    """Whether `text` has the form `package.module:callable`."""
    return _NAME.fullmatch(text) is not None


def load_callable(name: str) -> Callable[..., Any]:
    """Import `package.module:callable`; modules in the current folder are found too, as `python -m` does it.

    Raises:
        UnknownNameError: there is no such module or attribute, importing it fails, or it cannot be called.
    """
    module_name, _, attributes = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        value: Any = importlib.import_module(module_name)
        for attribute in attributes.split("."):
            value = getattr(value, attribute)
    except Exception as error:
        # Whatever the user's module raises while it is imported is theirs to read, not a failure of edgedeploy.
        _log.debug("importing %s", name, exc_info=True)
        raise UnknownNameError(
            f"{name} cannot be imported",
            why=described(error),
            hint=f'check it with: python -c "import {module_name}" (-vv shows the traceback)',
        ) from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if not callable(value):
        raise UnknownNameError(f"{name} is a {type(value).__name__}, not a function")
    function: Callable[..., Any] = value
    return function


def described(error: BaseException) -> str:
    """An exception in one line, as a traceback's last line has it."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
