"""Keep what libraries say of their own accord off the terminal: an error reaches the user as one of ours, in words."""

from __future__ import annotations

import logging
import sys
import threading
import types
import warnings

_log = logging.getLogger(__name__)


def keep_quiet() -> None:
    """Print no log records, warnings, or errors of threads and finalizers of the libraries that we use.

    `-vv` shows all but the warnings, which `PYTHONWARNINGS` shows.
    """
    # What Python prints where no handler was set up; `logging.basicConfig` sets one up for -vv.
    logging.lastResort = logging.NullHandler()
    threading.excepthook = _log_thread
    sys.unraisablehook = _log_finalizer
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _log_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is not SystemExit:
        _log.debug("a thread ended", exc_info=_information(failed.exc_value))


def _log_finalizer(failed: sys.UnraisableHookArgs) -> None:
    _log.debug("a finalizer failed", exc_info=_information(failed.exc_value))


def _information(
    error: BaseException | None,
) -> tuple[type[BaseException], BaseException, types.TracebackType | None] | None:
    return None if error is None else (type(error), error, error.__traceback__)
