"""`edgedeploy demo`: all steps, with a model and data that edgedeploy brings."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.output import Output, common_options, device_options


@click.command(
    name="demo",
    epilog=examples(
        "edgedeploy demo",
        "edgedeploy demo ssh://pi@192.0.2.7",
        "edgedeploy demo --only-files --out hand-over",
    ),
)
@device_argument(required=False)
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("edgedeploy-demo"),
    show_default=True,
    metavar="FOLDER",
    help="Write the model, the data, the contract and the report to FOLDER.",
)
@click.option("--keep-board", is_flag=True, help="Leave the emulated board up.")
@click.option("--only-files", is_flag=True, help="Only write the model, the data and the contract.")
@device_options
@common_options
def command(device: str | None, folder: Path, keep_board: bool, only_files: bool, accept_new: bool, out: Output) -> int:
    """Run the main job on a real model and labeled data.

    A trained text-direction classifier (PP-OCR, Apache-2.0) is made smaller, built for the device, pushed, measured and
    tested there on labeled lines of text, and checked against its contract. The model is downloaded as part of a
    package. Without DEVICE, an emulated Raspberry Pi 4 is built and booted for it.

    Exits 0 when the contract holds on the device, 1 when it does not.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal.shipment import shipment_tables

    if only_files and (device or keep_board):
        raise click.UsageError("--only-files ships to no device: leave out DEVICE and --keep-board.")
    if only_files:
        contract = api.demo_hand_over(folder, out)
        out.result({"contract": str(contract)}, f"contract: {contract}")
        return 0
    shipment = api.demo(folder, device, keep_board=keep_board, accept_new=accept_new, progress=out)
    page = api.write_report(folder / "report", shipment)
    out.result(shipment, *shipment_tables(shipment))
    if not out.as_json:
        click.echo(f"report: {page}")
        click.echo(f"next:   edgedeploy contract show {shlex.quote(str(folder / 'contract.toml'))}")
    return 0 if shipment.holds else 1
