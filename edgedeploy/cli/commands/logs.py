"""`edgedeploy logs`: show the log that a device keeps."""

from __future__ import annotations

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.output import Output, common_options, device_options


@click.command(
    name="logs",
    epilog=examples(
        "edgedeploy logs board:rpi4 -n 10",
    ),
)
@device_argument()
@click.option("--name", metavar="MODEL", help="Show only entries of this model.")
@click.option(
    "-n",
    "--lines",
    default=50,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of entries, counted from the newest.",
)
@device_options
@common_options
def command(device: str, name: str | None, lines: int, accept_new: bool, out: Output) -> int:
    """Show the log of DEVICE: releases that became current, were unhealthy, were rolled back or were removed.

    Times are in UTC, from the device's own clock.
    """
    from rich.table import Table

    from edgedeploy import api

    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        entries = api.read_log(connection)
    chosen = [entry for entry in entries if name is None or entry.name == name][-lines:]
    table = Table(box=None, pad_edge=False)
    for heading in ("when (UTC)", "what", "model", "release", "by", ""):
        table.add_column(heading)
    for entry in chosen:
        table.add_row(entry.at, entry.event, entry.name, entry.release, entry.by, entry.detail)
    out.result(chosen, table if chosen else f"the log of {device} is empty")
    return 0
