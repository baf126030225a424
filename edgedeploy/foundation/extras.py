"""The line that installs what an extra of edgedeploy brings, for the very Python that runs this.

Not `pip install 'edgedeploy[EXTRA]'`: that asks an index for edgedeploy itself, where what is installed may come from a
clone or a file, and it may reach another Python than that of a tool's own environment (`uv tool`, pipx).
"""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import sys


def extra_line(extra: str) -> str:
    """Return the command that installs an extra's packages, e.g. `/…/python -m pip install 'ziglang>=0.15'`.

    Args:
        extra: as `pyproject.toml` names it. One that edgedeploy does not have is another distribution's.
    """
    marker = re.compile(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]")
    try:
        stated = importlib.metadata.requires("edgedeploy") or []
    except importlib.metadata.PackageNotFoundError:
        stated = []
    found = [text.partition(";")[0].strip() for text in stated if marker.search(text)]
    return pip_line(*(found or [f"edgedeploy[{extra}]"]))


def pip_line(*words: str) -> str:
    """Return the command that installs packages where this Python finds them; edgedeploy brings pip along."""
    return shlex.join([sys.executable or "python3", "-m", "pip", "install", *words])
