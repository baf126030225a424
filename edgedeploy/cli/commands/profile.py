"""`edgedeploy profile`: the time per operator of a release on a device."""

from __future__ import annotations

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.output import Output, common_options, device_options


@click.command(
    name="profile",
    epilog=examples(
        "edgedeploy profile board:rpi4 --top 5",
    ),
)
@device_argument()
@click.option("--name", metavar="MODEL", help="The model, if the device has several.")
@click.option(
    "--top", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Number of nodes to show."
)
@device_options
@common_options
def command(device: str, name: str | None, top: int, accept_new: bool, out: Output) -> int:
    """Show the time of the current release on DEVICE by operator, and its slowest nodes.

    This uses the profiler of onnxruntime, so the backend must be onnxruntime or onnxruntime-c. On a board that counts
    instructions (`board up --count`), the figures are thousands of instructions.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal.profile import profile_tables

    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        found = api.profile(connection, api.current_release(connection, name), progress=out)
    out.result(found, *profile_tables(found, top=top))
    return 0
