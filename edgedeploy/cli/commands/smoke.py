"""`edgedeploy smoke`: a board in ten minutes."""

from __future__ import annotations

from pathlib import Path

import click

from edgedeploy.cli.output import Output, common_options, device_options


@click.command(name="smoke")
@click.argument("device", required=False)
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
@click.option(
    "--kit",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="In place of DEVICE: make a folder of BUNDLE that tests a board without a laptop, with `sh OUT/smoke` there.",
)
@click.option(
    "--read",
    "result_path",
    type=click.Path(path_type=Path),
    metavar="RESULT",
    help="In place of DEVICE: show the result-HOST-DATE.json that a kit left.",
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
    """See on one screen whether DEVICE is right, whether its release works there, and what to do where not.

    It asks the board what it is, holds the release against it, verifies every file, runs the golden inputs, measures
    for about ten seconds, and looks at temperature, throttling, voltage, memory, disk and clock.

    Exits 0 on PASS, 1 on FAIL.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal.smoke import smoke_screen

    if sum(each is not None for each in (device, kit, result_path)) != 1:
        raise click.UsageError("name a DEVICE, or --kit OUT, or --read RESULT")
    if bundle_path is not None and name is not None:
        raise click.UsageError("--name is for a release that is there, --bundle brings its own")
    if result_path is not None:
        found = api.read_smoke_result(result_path)
        out.result(found, *smoke_screen(found))
        return 0 if found.passed else 1
    if kit is not None:
        if bundle_path is None:
            raise click.UsageError("a kit is of a bundle: --bundle BUNDLE")
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
    text = f"{written.path} is a kit of {written.release}: {written.files} files, {bytes_in_words(written.size_bytes)}"
    then = "on the board: sh smoke, in that folder; on the laptop then: edgedeploy smoke --read result-HOST-DATE.json"
    out.result(written, text, then)
    return 0
