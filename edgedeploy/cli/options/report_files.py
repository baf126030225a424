"""Options of commands that end with a verdict: files for CI beside what is printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def report_file_options(command: Command) -> Command:
    """Adds `junit` and `markdown`, each a path or None."""
    junit = click.option(
        "--junit", type=click.Path(path_type=Path), metavar="FILE", help="Also write the verdict as JUnit XML."
    )
    markdown = click.option(
        "--markdown",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Also write a Markdown summary, e.g. for $GITHUB_STEP_SUMMARY.",
    )
    return junit(markdown(command))


def write_text(path: Path | None, text: str | bytes) -> None:
    """Write it whole, if there is a path."""
    from edgedeploy.foundation.files import write_bytes

    if path is not None:
        write_bytes(path, text.encode() if isinstance(text, str) else text)
