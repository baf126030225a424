"""`edgedeploy smoke`: a board in ten minutes."""

from __future__ import annotations

from pathlib import Path

import click

from edgedeploy.cli.output import Output, common_options, device_options


@click.command(name="smoke")
@click.argument("device")
@click.option("--name", metavar="MODEL", help="Which model, where the device has several and no bundle is given.")
@click.option(
    "--bundle",
    "bundle_path",
    type=click.Path(path_type=Path),
    metavar="BUNDLE",
    help="Push it first, as `edgedeploy push` does. By default the current release is taken.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1, max=3600),
    default=10.0,
    show_default=True,
    metavar="S",
    help="How long to measure. An emulated board is measured shortly whatever this is.",
)
@device_options
@common_options
def command(
    device: str, name: str | None, bundle_path: Path | None, seconds: float, accept_new: bool, out: Output
) -> int:
    """See on one screen whether DEVICE is right, whether its release works there, and what to do where not.

    It asks the board what it is, holds the release against it, verifies every file, runs the golden inputs, measures
    for about ten seconds, and looks at temperature, throttling, voltage, memory, disk and clock.

    Exits 0 on PASS, 1 on FAIL.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal_smoke import smoke_screen
    from edgedeploy.signature import read_signature

    if bundle_path is not None and name is not None:
        raise click.UsageError("--name is for a release that is there, --bundle brings its own")
    bundle = api.open_bundle(bundle_path) if bundle_path else None
    signature = read_signature(bundle_path) if bundle_path else None
    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        found = api.smoke(connection, bundle=bundle, signature=signature, name=name, seconds=seconds, progress=out)
    out.result(found, *smoke_screen(found))
    return 0 if found.passed else 1
