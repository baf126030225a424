"""`edgedeploy targets`: list targets, or show one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_target
from edgedeploy.cli.output import Output, common_options

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgedeploy.values.target import OperatingSystem, Target


@click.command(
    name="targets",
    epilog=examples(
        "edgedeploy targets",
        "edgedeploy targets rpi4",
    ),
)
@click.argument("name", required=False, shell_complete=complete_target)
@common_options
def command(name: str | None, out: Output) -> int:
    """List the kinds of board; with NAME, show one in full.

    A target is a TOML file. edgedeploy ships some; put your own in ~/.config/edgedeploy/targets/.
    """
    from rich.console import Group

    from edgedeploy import api
    from edgedeploy.cli.listing import bad_lines, read_each

    if name:
        target = api.load_target(name)
        out.result(target, _whole(target))
    else:
        targets, bad = read_each(api.target_names(), api.load_target)
        out.result([*targets, *bad], Group(_list(targets), *bad_lines(bad)))
    return 0


def _list(targets: list[Target]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "architecture", "core", "backends", "board"):
        table.add_column(heading)
    for target in targets:
        cells = (target.name, target.architecture, target.cpu.core, ", ".join(target.backends) or "none", target.title)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _whole(target: Target) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    from edgedeploy import api

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    cpu, system, board = target.cpu, target.os, target.emulation
    emulated = "cannot be emulated"
    if board:
        emulated = f"QEMU {board.machine}, {board.cores} x {board.cpu}, {board.memory_mb} MB, "
        emulated += f"{' or '.join(api.board_systems(target))} {board.debian_architecture}"
    rows = {
        "name": target.name,
        "board": target.title,
        "architecture": target.architecture,
        "identified by": ", ".join(target.boards) or "its architecture",
        "memory": ", ".join(f"{size_mb:,} MB" for size_mb in target.memory_mb),
        "cpu": f"{cpu.cores} x {cpu.core}, {cpu.clock_mhz} MHz, {' '.join(cpu.features)}",
        "system": "\n".join(_system(each) for each in (system, *target.other_os)),
        "backends": ", ".join(target.backends) or "none",
        "maximum speed": _bounds(target),
        "emulated as": emulated,
        "sources": "\n".join(target.sources),
    }
    for key, value in rows.items():
        # As text, not markup: a target may be anybody's file.
        table.add_row(key, Text(value))
    return table


def _system(system: OperatingSystem) -> str:
    name = f"{system.release}: {system.name}" if system.release else system.name
    return f"{name}, Python {system.python}, glibc {system.glibc}, {system.page_size_bytes:,}-byte pages"


def _bounds(target: Target) -> str:
    from edgedeploy import api

    roof = target.roofline
    if roof is None:
        return "unknown: the target covers many boards"
    float32, int8 = (
        api.peak_macs_per_s(target, rate) for rate in (roof.float32_macs_per_cycle, roof.int8_macs_per_cycle)
    )
    return (
        f"{float32 / 1e9:,.1f} billion MACs per second in float32, {int8 / 1e9:,.1f} in int8; "
        f"{roof.memory_bytes_per_s / 1e9:,.1f} GB per second of memory bandwidth"
    )
