"""`edgedeploy bench`: measure the speed of a release on a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.bench import bench_settings_options
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.options.report_files import write_text
from edgedeploy.cli.output import Output, common_options, device_options

if TYPE_CHECKING:
    from edgedeploy import api
    from edgedeploy.values.bundle import Release
    from edgedeploy.values.measurement import BenchSettings


@click.command(
    name="bench",
    epilog=examples(
        "edgedeploy bench board:rpi4 --profile smoke -o bench.json",
        "edgedeploy bench ssh://pi@192.0.2.7 --against previous",
    ),
)
@device_argument()
@click.option("--name", metavar="MODEL", help="The model, if the device has several.")
@click.option(
    "--profile",
    type=click.Choice(["smoke", "standard", "long"]),
    default="standard",
    show_default=True,
    help="Minimum duration. smoke: 64 samples and 6 s; standard: 1,024 and 60 s; long: 1,024 and 600 s.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Also write the measurement to FILE."
)
@click.option(
    "--count",
    is_flag=True,
    help="Require instruction counts: refuse a DEVICE that was not made with `board up --count`.",
)
@click.option("--csv", type=click.Path(path_type=Path), metavar="FILE", help="Also write every sample to FILE.")
@click.option(
    "--against",
    metavar="RELEASE",
    shell_complete=lambda _ctx, _param, start: ["previous"] if "previous".startswith(start) else [],
    help="Measure the current release in turn with this one: a release ID on the device, or `previous`.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    metavar="N",
    help="With --against: number of pairs. Default: 8 for times, 2 for counts.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1000),
    metavar="PERCENT",
    help="With --against: growth that counts as a regression, unless the noise is larger. Default: 5 for times, 0.5 "
    "for counts.",
)
@bench_settings_options
@device_options
@common_options
def command(
    device: str,
    name: str | None,
    profile: str,
    output: Path | None,
    count: bool,
    csv: Path | None,
    against: str | None,
    rounds: int | None,
    threshold: float | None,
    settings: BenchSettings,
    accept_new: bool,
    out: Output,
) -> int:
    """Measure the speed of the current release on DEVICE with its own clock, and rate how reliable the figures are.

    Figures of an emulated board are marked: they are not a latency, and no verdict uses them. The run is short there,
    whatever the profile. A board that counts instructions (`board up --count`) gives instructions per inference.

    With --against, exits 1 when the current release is slower, or takes more instructions, than the other one: by
    more than the threshold and by more than the noise, in two series of runs.
    """
    if against is None and (rounds is not None or threshold is not None):
        raise click.UsageError("--rounds and --threshold require --against")
    from edgedeploy import api
    from edgedeploy.foundation.errors import UnsupportedError
    from edgedeploy.report.exports.samples_csv import samples_csv
    from edgedeploy.report.terminal.measurement import measurement_tables

    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        if count and not connection.counts_instructions:
            raise UnsupportedError(
                f"{device} does not count instructions",
                why="only an emulated board that was made with --count does",
                hint="edgedeploy board up NAME --target TARGET --count; then push the release to that board",
            )
        release = api.current_release(connection, name)
        if against is not None:
            return _in_turn(connection, release, against, profile, settings, rounds, threshold, out)
        measurement = api.bench(connection, release, profile=profile, settings=settings, progress=out)
    # Shown first: minutes of measuring are not to be lost because a file cannot be written.
    out.result(measurement, *measurement_tables(measurement))
    if output:
        api.save_measurement(measurement, output)
    write_text(csv, samples_csv(measurement))
    return 0


def _in_turn(
    connection: api.Connection,
    release: Release,
    against: str,
    profile: str,
    settings: BenchSettings,
    rounds: int | None,
    threshold: float | None,
    out: Output,
) -> int:
    from edgedeploy import api
    from edgedeploy.report.terminal.interleaved import interleaved_table
    from edgedeploy.values.contract import Outcome

    if rounds is not None and rounds < api.LEAST_PAIRS and not connection.counts_instructions:
        raise click.UsageError(f"--rounds {rounds}: times need at least {api.LEAST_PAIRS} pairs")
    found = api.bench_against(
        connection,
        api.other_release(connection, release, against),
        release,
        rounds=rounds,
        profile=profile,
        settings=settings,
        threshold=None if threshold is None else threshold / 100,
        progress=out,
    )
    out.result(found, interleaved_table(found))
    return 0 if found.outcome is Outcome.HOLDS else 1
