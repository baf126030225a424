"""The `edgedeploy` command: finds the module of a command, and turns errors into messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import importlib
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import click

_COMMANDS = {
    # name: (module, one line for --help). Written here so that --help imports none of the modules.
    "inspect": ("inspect", "Show a model's shapes, parameters, MACs, bytes and operators."),
    "recipes": ("recipes", "List the recipes, or show one in full."),
    "targets": ("targets", "List the targets, or show one in full."),
    "optimize": ("optimize", "Make a model smaller and faster, without making it worse."),
    "compile": ("compile", "Build a model into a bundle for a target."),
    "bundle": ("bundle", "Show, verify, pack or sign a bundle."),
    "board": ("board", "Start, stop, list and log in to emulated boards."),
    "probe": ("probe", "Identify a device and the target that fits it."),
    "push": ("push", "Send a bundle to a device and make it the current release."),
    "releases": ("releases", "List the releases on a device."),
    "rollback": ("rollback", "Return to the previous release."),
    "status": ("status", "Show what runs on a device, since when, and its health."),
    "logs": ("logs", "Show the log of releases that a device keeps."),
    "uninstall": ("uninstall", "Remove a model, or everything, from a device."),
    "smoke": ("smoke", "Smoke test: PASS or FAIL for a device, and what to do next."),
    "bench": ("bench", "Measure the speed of the current release on a device."),
    "profile": ("profile", "Show the time per operator of the current release."),
    "test": ("test", "Measure accuracy on a device with labeled data."),
    "check": ("check", "Check measurements against a contract."),
    "contract": ("contract", "Write, show or check a contract."),
    "compare": ("compare", "Compare the measurements of two releases."),
    "baseline": ("baseline", "Save a release's figures; check later ones against them."),
    "schema": ("schema", "Print the JSON Schema of a file that is read or printed."),
    "doctor": ("doctor", "Show what this machine lacks, and the command to install it."),
    "ship": ("ship", "Optimize, compile, push, bench, test, check and report."),
}

_MISTAKE = 70
"""EX_SOFTWARE of sysexits.h: an internal error, so that it cannot be taken for the answer «no», which is 1."""
_OTHER_EXIT_CODES = {
    0: "yes",
    1: "the answer is no (contract broken, test failed, result refused)",
    2: "the command line is wrong",
    _MISTAKE: "edgedeploy made a mistake; the message says where its traceback is",
    130: "interrupted",
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
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f"edgedeploy.cli.commands.{_COMMANDS[name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from edgedeploy.foundation.errors import exit_codes

        with formatter.section("Exit codes"):
            for code, meaning in sorted((_OTHER_EXIT_CODES | exit_codes()).items()):
                formatter.write(f"{'':{formatter.current_indent}}{code:3}  {meaning}\n")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgedeploy", message="%(prog)s %(version)s")
def cli() -> None:
    """Take a trained model to edge devices, and prove that it still works there."""


def _say(text: str) -> None:
    # The exit code is still an answer where nobody reads the words, or where they cannot be written.
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def main() -> NoReturn:
    """Entry point. Turns errors into messages and exit codes; everything else is in the library."""
    try:
        result = cli.main(standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _say("interrupted")
        sys.exit(130)
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        sys.exit(error.exit_code)
    except _ReaderGone:
        # As a shell tells it of a program that SIGPIPE ended: neither a yes nor a no. Nothing is left to be flushed.
        sys.stdout = sys.stderr = None
        sys.exit(141)
    except Exception as error:
        sys.exit(_failed(error))


def _failed(error: Exception) -> int:
    """Say what went wrong; the exit code for it."""
    from edgedeploy.foundation.errors import EdgedeployError, HostError

    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        # Files that are written say so by themselves; what is left is standard output, redirected to a full disk.
        error = HostError("the output cannot be written", why=error.strerror or "", hint="free some space")
        sys.stdout = None
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
