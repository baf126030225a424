"""`edgedeploy profile`: where a release's time goes on a device."""

from __future__ import annotations

import click

from edgedeploy.cli.output import Output, common_options, device_options


@click.command(name="profile")
@click.argument("device")
@click.option("--name", metavar="MODEL", help="Which model, where the device has several.")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Nodes that are shown.")
@device_options
@common_options
def command(device: str, name: str | None, top: int, accept_new: bool, out: Output) -> int:
    """Where the time of the current release on DEVICE goes: by operator, and the largest nodes.

    By the profiler of onnxruntime (the backends onnxruntime and onnxruntime-c); others have none. On a board that
    counts instructions (`board up --count`) it says instructions, in thousands.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal.profile import profile_tables

    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        found = api.profile(connection, api.current_release(connection, name), progress=out)
    out.result(found, *profile_tables(found, top=top))
    return 0
