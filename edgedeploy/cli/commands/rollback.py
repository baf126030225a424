"""`edgedeploy rollback`: return to the previous release."""

from __future__ import annotations

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.output import Output, common_options, device_options


@click.command(
    name="rollback",
    epilog=examples(
        "edgedeploy rollback board:rpi4",
        "edgedeploy rollback ssh://pi@192.0.2.7 --name text-direction",
    ),
)
@device_argument()
@click.option("--name", metavar="MODEL", help="The model, if the device has several.")
@device_options
@common_options
def command(device: str, name: str | None, accept_new: bool, out: Output) -> int:
    """Make the previous release on DEVICE current again. Its files are verified first."""
    from msgspec import structs

    from edgedeploy import api

    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        listing = api.list_releases(connection)
        release = api.rollback(connection, name, progress=out)
    left = next((each for each in listing.releases if each.name == release.name and each.current), None)
    words = api.unconfirmed_in_words(listing, structs.replace(left, current=False)) if left else None
    was = f"; {left.id} was {words}" if left and words else ""
    out.result(release, f"{release.name} {release.id} is current on {device} again{was}")
    return 0
