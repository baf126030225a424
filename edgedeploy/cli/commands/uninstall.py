"""`edgedeploy uninstall`: remove a model, or everything, from a device."""

from __future__ import annotations

import sys

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.output import Output, common_options, device_options
from edgedeploy.foundation.units import bytes_in_words


@click.command(
    name="uninstall",
    epilog=examples(
        "edgedeploy uninstall board:rpi4 --name text-direction --yes",
        "edgedeploy uninstall board:rpi4 --all",
    ),
)
@device_argument()
@click.option("--name", metavar="MODEL", help="The model, if the device has several.")
@click.option(
    "--release", "releases", multiple=True, metavar="ID", help="Remove only this release. Repeat it for more."
)
@click.option("--all", "everything", is_flag=True, help="Remove every model, and every file that edgedeploy put there.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@device_options
@common_options
def command(
    device: str,
    name: str | None,
    releases: tuple[str, ...],
    everything: bool,
    yes: bool,
    accept_new: bool,
    out: Output,
) -> int:
    """Remove a model from DEVICE: all its releases, and every file that no other model needs.

    With --release, only that release is removed. The current release, and the one that a rollback returns to, cannot
    be removed in this way.
    """
    from edgedeploy import api

    if everything and (name or releases):
        raise click.UsageError("--all cannot be combined with --name or --release.")
    if not yes:
        what = "everything" if everything else f"{name or 'the model'}{' ' + ' '.join(releases) if releases else ''}"
        if not sys.stdin.isatty():
            raise click.UsageError("no terminal to confirm on; pass --yes")
        click.confirm(f"Remove {what} from {device}?", abort=True, err=True)
    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        if everything:
            removed = api.uninstall_everything(connection)
        else:
            removed = api.uninstall(connection, name, releases=releases, progress=out)
    lines = [f"removed {one}" for one in removed.releases] or ["there was nothing to remove"]
    out.result(removed, "\n".join([*lines, f"{bytes_in_words(removed.freed_bytes)} freed on {device}"]))
    return 0
