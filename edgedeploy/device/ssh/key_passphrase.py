"""Get the passphrase of an encrypted key: from an environment variable, or from the user. It is kept nowhere."""

from __future__ import annotations

import getpass
import os
import sys

VARIABLE = "EDGEDEPLOY_SSH_PASSPHRASE"


def passphrase_for(who: str) -> str | None:
    """Get the passphrase of the key with which we log in.

    Args:
        who: `user@host:port`, for the question.

    Returns:
        None when the variable is not set and nobody can be asked, or the answer was empty.
    """
    if VARIABLE in os.environ:
        return os.environ[VARIABLE] or None
    if not (sys.stdin and sys.stdin.isatty()):
        return None
    try:
        # Written to the terminal itself, not to a stream that may be redirected.
        return getpass.getpass(f"passphrase of the key for {who}: ") or None
    except EOFError:
        return None
