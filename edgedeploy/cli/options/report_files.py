"""The options `--junit` and `--markdown` of commands that give a verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def report_file_options(command: Command) -> Command:
    """Add the options to a command. It gets the parameters `junit` and `markdown`, each a path or None."""
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
    """Write a file completely or not at all; do nothing if `path` is None."""
    from edgedeploy.foundation.files import write_bytes

    if path is not None:
        write_bytes(path, text.encode() if isinstance(text, str) else text)
