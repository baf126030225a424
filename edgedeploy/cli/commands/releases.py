"""`edgedeploy releases`: list the releases on a device."""

from __future__ import annotations

import click

from edgedeploy.cli.altered import altered_lines
from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.output import Output, common_options, device_options
from edgedeploy.foundation.units import bytes_in_words


@click.command(
    name="releases",
    epilog=examples(
        "edgedeploy releases board:rpi4",
    ),
)
@device_argument()
@device_options
@common_options
def command(device: str, accept_new: bool, out: Output) -> int:
    """List the releases on DEVICE. The current release of each model is marked."""
    from rich.table import Table

    from edgedeploy import api

    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        listing = api.list_releases(connection, check_layout=True)
    table = Table(box=None, pad_edge=False)
    for heading in ("", "model", "release", "target", "recipe", "size", "previous release"):
        table.add_column(heading, justify="right" if heading == "size" else "left")
    for release in listing.releases:
        manifest = release.manifest
        table.add_row(
            "●" if release.current else "",
            release.name,
            release.id,
            manifest.target,
            manifest.source.recipe if manifest.source else "",
            bytes_in_words(manifest.model.size_bytes),
            release.parent or "",
        )
    lines = [f"damaged: {name} (push its bundle again)" for name in listing.damaged]
    lines += [f"damaged: {line}" for line in altered_lines(listing.altered)]
    lines += [
        f"{release.id}: {words}"
        for release in listing.releases
        if (words := api.unconfirmed_in_words(listing, release))
    ]
    lines += [f"unreadable, perhaps from another version of edgedeploy: {name}" for name in listing.unreadable]
    if not listing.releases:
        out.result(listing, f"no releases on {device} yet: edgedeploy push BUNDLE {device}", *lines)
    else:
        out.result(listing, table, *lines)
    return 0
