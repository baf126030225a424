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
    "inspect": ("inspect", "Facts of a model: shapes, parameters, MACs, bytes, operators."),
    "recipes": ("recipes", "The recipes there are; with NAME, one whole."),
    "targets": ("targets", "The targets there are; with NAME, one whole."),
    "optimize": ("optimize", "Make a model smaller and faster, and refuse to make it worse."),
    "compile": ("compile", "Build a model into a bundle for a target."),
    "bundle": ("bundle", "What is in a bundle, and whether it is whole: show, verify, pack, sign, schema."),
    "board": ("board", "Emulated boards: up, down, status, ssh, list."),
    "probe": ("probe", "What a device is, and which target fits it."),
    "push": ("push", "Put a bundle on a device and make it current."),
    "releases": ("releases", "The releases on a device."),
    "rollback": ("rollback", "Return to the release before."),
    "status": ("status", "What runs on a device, since when, and how healthy it is."),
    "logs": ("logs", "What was done on a device, as it wrote it down."),
    "uninstall": ("uninstall", "Take a model, or everything, off a device again."),
    "smoke": ("smoke", "A board in ten minutes: PASS or FAIL, and what to do next."),
    "bench": ("bench", "Time the current release on a device."),
    "profile": ("profile", "Where the current release's time goes on a device, operator by operator."),
    "test": ("test", "Run labelled data on a device: agreement and metric."),
    "check": ("check", "Hold a measurement against a contract."),
    "contract": ("contract", "The hand-over of a model: write a contract, show it, and see whether it is whole."),
    "compare": ("compare", "Whether one release is worse than another, by their measurements."),
    "baseline": ("baseline", "Keep a good release's figures, and hold later ones against them: save, show, check."),
    "schema": ("schema", "JSON Schemas of what is read and printed: contract, measurement, verdict, …"),
    "doctor": ("doctor", "What this machine can do, and what mends the rest."),
    "ship": ("ship", "All of it: optimize, compile, push, bench, test, check, report."),
}

_OTHER_EXIT_CODES = {
    0: "yes",
    1: "the answer is no (a contract is broken, a test failed, a result was refused)",
    2: "the command line is wrong",
    130: "interrupted",
    141: "nobody reads the output any more (`edgedeploy … | head`)",
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
    """Entry point. Turns errors into messages; everything else is in the library."""
    from edgedeploy.foundation.errors import EdgedeployError, HostError

    try:
        result = cli.main(standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except EdgedeployError as error:
        _say(f"error: {error}")
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        _say("interrupted")
        sys.exit(130)
    except KeyboardInterrupt:
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
    except OSError as error:
        # Files that are written say so by themselves; what is left is standard output, redirected to a full disk.
        if error.errno not in _NO_SPACE:
            raise
        _say(f"error: {HostError('the output cannot be written', why=error.strerror or '', hint='free some space')}")
        sys.stdout = None
        sys.exit(HostError.exit_code)
