"""The `edgedeploy` command: finds the module of a command, and turns errors into messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import click

from edgedeploy.cli.catalog import GROUPS, SUMMARIES, examples

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMPLETION = "_EDGEDEPLOY_COMPLETE"
"""The variable in which a shell asks for completion: `bash_source`, `bash_complete` and so on."""
_MISTAKE = 70
"""EX_SOFTWARE of sysexits.h: an internal error, so that it cannot be taken for the answer «no», which is 1."""
_OTHER_EXIT_CODES = {
    0: "yes",
    1: "the answer is no (contract broken, test failed, result refused)",
    2: "the command line is wrong",
    _MISTAKE: "edgedeploy made a mistake; the message says where its traceback is",
    129: "the terminal was closed (SIGHUP)",
    130: "interrupted",
    143: "stopped by SIGTERM",
    141: "the reader of the output is gone (`edgedeploy … | head`)",
}
"""Those that are no error of a class in `edgedeploy.foundation.errors`."""

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _ReaderGone(Exception):
    """Standard output or standard error is a pipe whose reader has gone."""


@contextlib.contextmanager
def _broken_pipes_told_apart() -> Iterator[None]:
    """Click takes every broken pipe for its output's, and ends with 1: here that is the answer «no»."""
    try:
        yield
    except BrokenPipeError as error:
        import select

        outputs = select.poll()
        for descriptor in (1, 2):
            outputs.register(descriptor, 0)
        if any(event & select.POLLERR for _, event in outputs.poll(0)):
            raise _ReaderGone from error
        raise RuntimeError("a pipe broke that is not the output's") from error


class _LazyGroup(click.Group):
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _broken_pipes_told_apart():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _broken_pipes_told_apart():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUMMARIES)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        # By the table, because click would import the module of every command.
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name, help=line) for name, line in SUMMARIES.items() if name.startswith(incomplete)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in SUMMARIES:
            return None
        module = importlib.import_module(f"edgedeploy.cli.commands.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # As wide as the longest name of all, so that the groups are one table.
        width = max(map(len, SUMMARIES))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), line) for name, line in commands.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from edgedeploy.foundation.errors import exit_codes

        super().format_epilog(ctx, formatter)
        with formatter.section("Exit codes"):
            for code, meaning in sorted((_OTHER_EXIT_CODES | exit_codes()).items()):
                formatter.write(f"{'':{formatter.current_indent}}{code:3}  {meaning}\n")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in SUMMARIES and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], SUMMARIES, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "edgedeploy optimize model.onnx --recipe auto --evaluation labeled.npz \\",
        "    -o small.onnx",
        "edgedeploy compile small.onnx --target rpi4 --golden typical.npz \\",
        "    -o small.bundle",
        "edgedeploy push small.bundle ssh://pi@192.0.2.7",
        "edgedeploy ship contract.toml board:rpi4 --report report",
    ),
)
@click.version_option(package_name="edgedeploy", message="%(prog)s %(version)s")
def cli() -> None:
    """Take a trained model to edge devices, and prove that it still works there."""


def _say(text: str) -> None:
    # The exit code is still an answer where nobody reads the words, or where they cannot be written.
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def main() -> NoReturn:
    """Entry point. Turns errors into messages and exit codes; everything else is in the library."""
    from edgedeploy.cli import libraries
    from edgedeploy.cli.signals import StoppedError, raise_when_stopped

    libraries.keep_quiet()
    raise_when_stopped()
    if _COMPLETION in os.environ:
        from edgedeploy.cli import completion

        completion.register()
    try:
        result = cli.main(standalone_mode=False, prog_name="edgedeploy", complete_var=_COMPLETION)
        sys.exit(result if isinstance(result, int) else 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _say("interrupted")
        sys.exit(130)
    except StoppedError as stop:
        _say(f"stopped by {stop}")
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        sys.exit(error.exit_code)
    except _ReaderGone:
        # As a shell tells it of a program that SIGPIPE ended: neither a yes nor a no.
        _drop_output(1, 2)
        sys.exit(141)
    except Exception as error:
        sys.exit(_failed(error))


def _drop_output(*descriptors: int) -> None:
    """Let what is still to be written go nowhere. Python flushes at its end, whatever `sys.stdout` is by then, and ends
    with 120 where that fails (Python's documentation of `signal`, «Note on SIGPIPE»)."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in descriptors:
            os.dup2(nowhere, descriptor)


def _failed(error: Exception) -> int:
    """Say what went wrong; the exit code for it."""
    from edgedeploy.foundation.errors import EdgedeployError, HostError

    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        # Files that are written say so by themselves; what is left is standard output, redirected to a full disk.
        error = HostError("the output cannot be written", why=error.strerror or "", hint="free some space")
        _drop_output(1)
    elif isinstance(error, MemoryError):
        error = HostError(
            "this machine has not enough memory for it",
            why=str(error),
            hint="end other programs, or do it on a machine with more memory",
        )
    if isinstance(error, EdgedeployError):
        _say(f"error: {error}")
        return error.exit_code
    import logging

    from edgedeploy.cli import crash

    logging.getLogger(__name__).debug("this is a mistake of edgedeploy's own", exc_info=error)
    _say(crash.crash_message(error))
    return _MISTAKE
