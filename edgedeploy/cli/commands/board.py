"""`edgedeploy board`: build, boot and stop emulated boards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_board, complete_target
from edgedeploy.cli.output import Output, common_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from edgedeploy import api


def _name(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Take the address of a board, `board:NAME`, for its name."""
    return value if value is None else value.removeprefix("board:")


_board_name = click.argument("name", default="rpi4", callback=_name, shell_complete=complete_board)
_board_name_alone = click.argument("name", callback=_name, shell_complete=complete_board)
_optional_board_name = click.argument("name", required=False, callback=_name, shell_complete=complete_board)


@click.group(
    name="board",
    epilog=examples(
        "edgedeploy board up rpi4",
        "edgedeploy board up gate --target rpi4 --count",
        "edgedeploy board export rpi4 rpi4.board",
        "edgedeploy board down --all",
    ),
)
def command() -> None:
    """Build, boot and stop emulated boards. They run in QEMU, without root and without image downloads.

    Wherever a command takes a DEVICE, `board:NAME` is the address of a board.
    """


@command.command(
    epilog=examples(
        "edgedeploy board up rpi4",
        "edgedeploy board up rpi4-trixie --target rpi4 --os trixie",
        "edgedeploy board up gate --target rpi4 --count",
    )
)
@_board_name
@click.option(
    "--target",
    metavar="TARGET",
    shell_complete=complete_target,
    help="The target that the board emulates. Default: the target called NAME.",
)
@click.option(
    "--os",
    metavar="RELEASE",
    help="Code name of a new board's release (bookworm, trixie). Default: this machine's own where TARGET has it, else "
    "bookworm.",
)
@click.option(
    "--count", "counting", is_flag=True, help="Make a board whose clock counts instructions, for `bench`. It is slower."
)
@click.option("--minimal", is_flag=True, help="Make a board with busybox and sshd only, without Python.")
@click.option("--disk-mb", type=click.IntRange(min=1), help="Size of a new board's disk in MiB. Default: 2048.")
@click.option("--rebuild", is_flag=True, help="Rebuild image and board from the current packages.")
@common_options
def up(
    name: str,
    target: str | None,
    os: str | None,
    counting: bool,
    minimal: bool,
    disk_mb: int | None,
    rebuild: bool,
    out: Output,
) -> int:
    """Boot board NAME (default: rpi4), and build it if it is new.

    The command returns when a login has succeeded. --os, --count and --minimal are fixed when a board is made: give
    such a board a name of its own.
    """
    import time

    from edgedeploy import api

    begun = time.monotonic()
    status = api.board_up(
        name,
        target=target,
        os=os,
        counting=counting or None,
        minimal=minimal or None,
        disk_mb=disk_mb,
        rebuild=rebuild,
        progress=out,
    )
    took_s = time.monotonic() - begun
    boot = f", {status.boot_s:.1f} s for its last boot" if status.boot_s is not None else ""
    counts = " and counts instructions" if status.counting else ""
    out.result(
        status,
        f"{status.address} ({status.os}) is up{counts} (took {took_s:.1f} s{boot}; SSH on 127.0.0.1:{status.port})",
    )
    return 0


@command.command(
    epilog=examples(
        "edgedeploy board down rpi4",
        "edgedeploy board down gate --delete",
    )
)
@_optional_board_name
@click.option("--all", "everything", is_flag=True, help="Stop every board.")
@click.option("--delete", is_flag=True, help="Also delete its disk and keys.")
@common_options
def down(name: str | None, everything: bool, delete: bool, out: Output) -> int:
    """Shut down board NAME (default: rpi4). A board that is not up stays as it is."""
    from edgedeploy import api

    if everything and name:
        raise click.UsageError("NAME and --all cannot be combined.")
    names = [status.name for status in api.board_list()] if everything else [name or "rpi4"]
    stopped = [api.board_down(one, delete=delete, progress=out) for one in names]
    out.result(stopped if everything else stopped[0], *(_stop_line(stop) for stop in stopped))
    return 0


@command.command(
    epilog=examples(
        "edgedeploy board status rpi4",
    )
)
@_board_name
@common_options
def status(name: str, out: Output) -> int:
    """Show the state of board NAME (default: rpi4). Exits 1 when it is not up."""
    from edgedeploy import api

    found = api.board_status(name)
    out.result(found, _table([found]))
    return 0 if found.state == "up" else 1


@command.command(
    name="list",
    epilog=examples(
        "edgedeploy board list",
    ),
)
@common_options
def list_(out: Output) -> int:
    """List all boards."""
    from edgedeploy import api

    boards = api.board_list()
    out.result(boards, _table(boards) if boards else "no boards yet: edgedeploy board up rpi4")
    return 0


@command.command(
    epilog=examples(
        "edgedeploy board export rpi4 rpi4.board",
        "edgedeploy board export rpi4 rpi4-trixie.board --os trixie",
    )
)
@_board_name_alone
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--os", metavar="RELEASE", help="Code name of the release. Default: that of the board.")
@click.option("--minimal", is_flag=True, help="The system without Python.")
@common_options
def export(name: str, file: Path, os: str | None, minimal: bool, out: Output) -> int:
    """Write the image of board NAME to FILE.

    `board import` takes it on other machines. It is built if it is not there; NAME may be a target too. The image is
    kernel and system; the board's releases and keys are not in it.
    """
    from edgedeploy import api

    written = api.board_export(name, file, os=os, minimal=minimal or None, progress=out)
    out.result(written, f"{written.path}: {_image_line(written)}", f"SHA-256 {written.sha256}")
    return 0


@command.command(
    name="import",
    epilog=examples(
        "edgedeploy board import rpi4.board",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@common_options
def import_(file: Path, out: Output) -> int:
    """Read the image in FILE into the cache.

    `board export` wrote it. Boards are then made from it without a download. Every byte is checked against the hashes
    in FILE.
    """
    from edgedeploy import api

    taken = api.board_import(file, progress=out)
    out.result(taken, f"{_image_line(taken)}", f"boards that are made from it: {', '.join(taken.targets)}")
    return 0


@command.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=examples(
        "edgedeploy board ssh rpi4",
        "edgedeploy board ssh rpi4 -- uname -a",
    ),
)
@_board_name
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@common_options
def ssh(name: str, words: tuple[str, ...], out: Output) -> int:
    """Log in to board NAME (default: rpi4), or run COMMAND there.

    This runs the system's ssh. The exit code is that of COMMAND. Options go before NAME. With --json: print the SSH
    settings and the command line, and run nothing.
    """
    from edgedeploy import api
    from edgedeploy.foundation.programs import find

    access = api.board_access(name)
    # As with any ssh, the words are joined, and the board's shell parses them.
    remote = words[1:] if words[:1] == ("--",) else words
    line = [*_ssh_line(access), *(("--", *remote) if remote else ())]
    if out.as_json:
        out.result({"access": access, "command": line})
        return 0
    os.execv(find("ssh"), line)  # noqa: S606 (no shell on this side)


def _ssh_line(access: api.BoardAccess) -> list[str]:
    return [
        "ssh",
        *("-F", "none"),
        *("-o", f'UserKnownHostsFile="{access.known_hosts_path}"'),
        *("-o", "StrictHostKeyChecking=yes"),
        *("-o", "IdentitiesOnly=yes"),
        *("-i", str(access.key_path)),
        *("-p", str(access.port)),
        f"{access.user}@{access.host}",
    ]


def _image_line(image: api.BoardImage) -> str:
    kind = ", minimal" if image.minimal else ""
    return f"image {image.image} ({image.os} {image.architecture}{kind}), {image.size_bytes / 1e6:.0f} MB"


def _stop_line(stop: api.BoardStop) -> str:
    if not stop.was_on:
        how = "was not up"
    else:
        how = "is down" if stop.orderly else "did not shut down in time; its power was cut"
    return f"{stop.address} {how}{', and was deleted' if stop.deleted else ''}"


def _table(boards: Sequence[api.BoardStatus]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("board", "target", "release", "state", "port", "last boot", "folder"):
        table.add_column(heading, no_wrap=heading != "folder", overflow="fold")
    for board in boards:
        boot = "" if board.boot_s is None else f"{board.boot_s:.1f} s"
        state = f"{board.state}, counts instructions" if board.counting else board.state
        state += ", by KVM" if board.kvm else ""
        target = f"{board.target}, minimal" if board.minimal else board.target
        table.add_row(board.address, target, board.os, state, str(board.port or ""), boot, board.folder)
    return table
