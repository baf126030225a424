"""What every command shares: `--json`, `-q`, `-v`, progress on standard error, one way to print a value."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from edgedeploy.foundation.sanitize import printable_lines
from edgedeploy.foundation.units import bytes_in_words

if TYPE_CHECKING:
    from rich.console import RenderableType

Command = TypeVar("Command", bound=Callable[..., Any])


_PIPE_COLUMNS = 140
_PIPE_REPORT_S = 60.0
"""In a pipe, a long step says so often how far it is."""
_LONG_STEP_S = 5.0
"""After which it is said how long the rest of a step takes."""


class Output:
    """The command's standard output and standard error. Is a `Progress`, so it can be handed to the library."""

    def __init__(self, *, as_json: bool, quiet: bool, verbose: int) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self._live = _is_terminal(sys.stderr) and not quiet
        self._step = ""
        self._step_begun = 0.0
        self._drawn = 0.0
        self._width = 0

    def result(self, value: object, *renderables: RenderableType) -> None:
        """Print `value` as JSON when `--json` was given, else the renderables (rich tables or text)."""
        self.finish()
        if self.as_json:
            import msgspec

            text = msgspec.json.format(msgspec.json.encode(value, order=None, enc_hook=str), indent=2)
            click.echo(text)
            return
        from edgedeploy.cli.console import PrintableConsole

        if _is_terminal(sys.stdout):
            console = PrintableConsole(highlight=False, markup=False, emoji=False)
            for renderable in renderables:
                console.print_whole(renderable)
            return
        # Piped output is read by programs and logs: no colours, no wrapping at 80 columns, no padding.
        console = PrintableConsole(width=_pipe_columns(), highlight=False, markup=False, emoji=False)
        with console.capture() as capture:
            for renderable in renderables:
                console.print_whole(renderable)
        for line in capture.get().splitlines():
            click.echo(line.rstrip())

    def step(self, text: str) -> None:
        self.finish()
        text = printable_lines(text)
        self._step, self._step_begun = text, time.monotonic()
        if self._live:
            self._draw(f"{text} …")
        elif not self.quiet:
            # In a pipe, a line for each step: a log that is silent for minutes looks like a program that hangs.
            click.echo(f"{text} …", err=True)

    def advance(self, done: int, total: int | None, unit: str) -> None:
        now = time.monotonic()
        if self._live and (now - self._drawn > 0.1 or done == total):
            self._drawn = now
            self._draw(f"{self._step} … {self._progress(done, total, unit, now)}")
        elif not self._live and not self.quiet and now - max(self._drawn, self._step_begun) > _PIPE_REPORT_S:
            self._drawn = now
            click.echo(f"  {self._step} … {self._progress(done, total, unit, now)}", err=True)

    def _progress(self, done: int, total: int | None, unit: str, now: float) -> str:
        """How much is done and, of a step that is long and has an end, how long the rest takes at this pace."""
        if not total:
            return _amount(done, unit)
        amount = f"{_amount(done, unit)} of {_amount(total, unit)}"
        elapsed_s = now - self._step_begun
        if 0 < done < total and elapsed_s > _LONG_STEP_S:
            return f"{amount}, about {_duration(elapsed_s * (total - done) / done)} left"
        return amount

    def note(self, text: str) -> None:
        if self.quiet or not (self._live or self.verbose):
            return
        if self._live:
            self._clear()
        click.echo(f"  {printable_lines(text)}", err=True)

    def finish(self) -> None:
        """End the current step's line. Called by the next step, and by `result`."""
        if self._live and self._step:
            self._clear()
            click.echo(f"{self._step}  {time.monotonic() - self._step_begun:.1f} s", err=True)
        self._step = ""

    def _draw(self, text: str) -> None:
        columns = shutil.get_terminal_size().columns
        text = text[: columns - 1]
        click.echo("\r" + text.ljust(self._width), nl=False, err=True)
        self._width = len(text)

    def _clear(self) -> None:
        if self._width:
            click.echo("\r" + " " * self._width + "\r", nl=False, err=True)
            self._width = 0


def common_options(command: Command) -> Command:
    """Add `--json`, `-q` and `-v`; the command gets them as one `Output` in the parameter `out`."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
    @click.option("-q", "--quiet", is_flag=True, help="Print no progress; only errors on standard error.")
    @click.option("-v", "--verbose", count=True, help="Print more on standard error; -vv for debugging.")
    @functools.wraps(command)
    def wrapped(*args: Any, as_json: bool, quiet: bool, verbose: int, **kwargs: Any) -> Any:
        if verbose > 1:
            import logging

            logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(name)s: %(message)s")
        out = Output(as_json=as_json, quiet=quiet, verbose=verbose)
        try:
            return command(*args, out=out, **kwargs)
        finally:
            out.finish()

    return wrapped  # type: ignore[return-value]


def device_options(command: Command) -> Command:
    """Add what every command that connects to a device takes: `--accept-new`, as the parameter `accept_new`."""
    return click.option("--accept-new", is_flag=True, help="Trust an unknown SSH host, and remember its key.")(command)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _pipe_columns() -> int:
    """What `COLUMNS` says, as long as it is a width that tables can have; else wide enough that nothing wraps."""
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isascii() and columns.isdigit() and 20 <= int(columns) <= 10_000 else _PIPE_COLUMNS


def _is_terminal(stream: TextIO | None) -> bool:
    """Python has no stream where the caller closed it, as some service managers do."""
    return stream is not None and stream.isatty()


def _amount(count: int, unit: str) -> str:
    if unit == "bytes":
        return bytes_in_words(count)
    return f"{count:,} {unit}" if unit else f"{count:,}"
