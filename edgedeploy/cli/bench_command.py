"""`edgedeploy bench`: how fast a release is on a device."""

from __future__ import annotations

from pathlib import Path

import click

from edgedeploy.cli.output import Output, common_options, device_options
from edgedeploy.cli.report_files import write_text


@click.command(name="bench")
@click.argument("device")
@click.option("--name", metavar="MODEL", help="Which model, where the device has several.")
@click.option(
    "--profile",
    type=click.Choice(["smoke", "standard", "long"]),
    default="standard",
    show_default=True,
    help="At least. smoke: 64 samples and 6 s; standard: 1,024 and 60 s; long: 1,024 and 600 s.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the measurement there too."
)
@click.option("--csv", type=click.Path(path_type=Path), metavar="FILE", help="Write every single sample there too.")
@device_options
@common_options
def command(
    device: str,
    name: str | None,
    profile: str,
    output: Path | None,
    csv: Path | None,
    accept_new: bool,
    out: Output,
) -> int:
    """Time the current release on DEVICE, with the device's own clock.

    On an emulated board the figures are marked as such: they are not a latency, no verdict uses them, and the run is
    short whatever the profile. One that counts instructions (`board up --count`) says how many an inference takes.
    """
    from edgedeploy import api
    from edgedeploy.measure.files import save_measurement
    from edgedeploy.report.samples_csv import samples_csv
    from edgedeploy.report.terminal_measurement import measurement_tables

    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        release = api.current_release(connection, name)
        measurement = api.bench(connection, release, profile=profile, progress=out)
    # Shown first: minutes of measuring are not to be lost because a file cannot be written.
    out.result(measurement, *measurement_tables(measurement))
    if output:
        save_measurement(measurement, output)
    write_text(csv, samples_csv(measurement))
    return 0
