"""`edgedeploy smoke`: smoke test of a device."""

from __future__ import annotations

from pathlib import Path

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.output import Output, common_options, device_options


@click.command(
    name="smoke",
    epilog=examples(
        "edgedeploy smoke board:rpi4",
        "edgedeploy smoke --kit kit --bundle small.bundle",
        "edgedeploy smoke --read result-raspberrypi-20260101.json",
    ),
)
@device_argument(required=False)
@click.option("--name", metavar="MODEL", help="The model, if the device has several. Not with --bundle.")
@click.option(
    "--bundle",
    "bundle_path",
    type=click.Path(path_type=Path),
    metavar="BUNDLE",
    help="Push BUNDLE first, as `edgedeploy push` does. Default: test the current release.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1, max=3600),
    default=10.0,
    show_default=True,
    metavar="S",
    help="Duration of the measurement. It is always short on an emulated board.",
)
@click.option(
    "--kit",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Instead of DEVICE: write a folder that tests a board without a laptop. Run `sh OUT/smoke` on the board.",
)
@click.option(
    "--read",
    "result_path",
    type=click.Path(path_type=Path),
    metavar="RESULT",
    help="Instead of DEVICE: show the result-HOST-DATE.json that a kit wrote.",
)
@device_options
@common_options
def command(
    device: str | None,
    name: str | None,
    bundle_path: Path | None,
    seconds: float,
    kit: Path | None,
    result_path: Path | None,
    accept_new: bool,
    out: Output,
) -> int:
    """Smoke test: print PASS or FAIL for DEVICE and its release on one screen, and what to do next.

    It probes the board, checks that the release fits it, verifies every file, runs the golden inputs, measures for
    about ten seconds, and checks temperature, throttling, voltage, memory, disk and clock.

    Exits 0 on PASS, 1 on FAIL.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal.smoke import smoke_screen

    if sum(each is not None for each in (device, kit, result_path)) != 1:
        raise click.UsageError("give exactly one of: DEVICE, --kit OUT, --read RESULT")
    if bundle_path is not None and name is not None:
        raise click.UsageError("--name selects a release on the device; it cannot be combined with --bundle")
    if result_path is not None:
        found = api.read_smoke_result(result_path)
        out.result(found, *smoke_screen(found))
        return 0 if found.passed else 1
    if kit is not None:
        if bundle_path is None:
            raise click.UsageError("--kit requires --bundle BUNDLE")
        return _write_kit(bundle_path, kit, seconds, out)
    assert device is not None
    bundle = api.open_bundle(bundle_path) if bundle_path else None
    signature = api.read_signature(bundle_path) if bundle_path else None
    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        found = api.smoke(connection, bundle=bundle, signature=signature, name=name, seconds=seconds, progress=out)
    out.result(found, *smoke_screen(found))
    return 0 if found.passed else 1


def _write_kit(bundle_path: Path, kit: Path, seconds: float, out: Output) -> int:
    from edgedeploy import api
    from edgedeploy.foundation.units import bytes_in_words

    written = api.write_kit(api.open_bundle(bundle_path), kit, seconds=seconds, progress=out)
    text = f"{written.path} is a kit for {written.release}: {written.files} files, {bytes_in_words(written.size_bytes)}"
    then = "on the board, in that folder: sh smoke; then on the laptop: edgedeploy smoke --read result-HOST-DATE.json"
    out.result(written, text, then)
    return 0
