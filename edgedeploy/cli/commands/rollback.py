"""`edgedeploy rollback`: return to the previous release."""

from __future__ import annotations

import click

from edgedeploy.cli.output import Output, common_options, device_options


@click.command(name="rollback")
@click.argument("device")
@click.option("--name", metavar="MODEL", help="The model, if the device has several.")
@device_options
@common_options
def command(device: str, name: str | None, accept_new: bool, out: Output) -> int:
    """Make the previous release on DEVICE current again. Its files are verified first."""
    from edgedeploy import api

    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        release = api.rollback(connection, name, progress=out)
    out.result(release, f"{release.name} {release.id} is current on {device} again")
    return 0
