"""`edgedeploy uninstall`: nothing is left behind."""

from __future__ import annotations

import sys

import click

from edgedeploy.cli.output import Output, common_options, device_options
from edgedeploy.foundation.units import bytes_in_words


@click.command(name="uninstall")
@click.argument("device")
@click.option("--name", metavar="MODEL", help="Which model, where the device has several.")
@click.option("--release", "releases", multiple=True, metavar="ID", help="Only this release of it; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Every model, and all that edgedeploy ever put there.")
@click.option("--yes", is_flag=True, help="Do not ask.")
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
    """Take a model off DEVICE with all its releases, and every file that no other model there needs.

    With --release only that one goes, and not if it is current or the one that a rollback returns to.
    """
    from edgedeploy import api

    if everything and (name or releases):
        raise click.UsageError("--all takes neither --name nor --release.")
    if not yes:
        what = "everything" if everything else f"{name or 'the model'}{' ' + ' '.join(releases) if releases else ''}"
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked here: say --yes.")
        click.confirm(f"Remove {what} from {device}?", abort=True, err=True)
    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        if everything:
            removed = api.uninstall_everything(connection)
        else:
            removed = api.uninstall(connection, name, releases=releases, progress=out)
    lines = [f"removed {one}" for one in removed.releases] or ["there was nothing to remove"]
    out.result(removed, "\n".join([*lines, f"{bytes_in_words(removed.freed_bytes)} freed on {device}"]))
    return 0
