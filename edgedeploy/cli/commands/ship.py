"""`edgedeploy ship`: all steps from a contract to a verdict."""

from __future__ import annotations

from pathlib import Path

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_target
from edgedeploy.cli.options.contract import allow_code_option, backend_option
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.options.report_files import report_file_options, write_text
from edgedeploy.cli.output import Output, common_options, device_options


@click.command(
    name="ship",
    epilog=examples(
        "edgedeploy ship contract.toml board:rpi4 --report report",
        "edgedeploy ship contract.toml ssh://pi@192.0.2.7 --junit contract.xml",
    ),
)
@click.argument("contract", type=click.Path(path_type=Path))
@device_argument()
@click.option(
    "--target",
    metavar="NAME",
    shell_complete=complete_target,
    help="The target to build for. Default: the one that fits the device.",
)
@backend_option
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="FOLDER", help="Write index.html and report.json to FOLDER."
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Keep the optimized model and the bundle in FOLDER.",
)
@click.option("--profile", type=click.Choice(["smoke", "standard", "long"]), default="smoke", show_default=True)
@click.option(
    "--sign-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Sign the bundle with this SSH key, for devices that require a signature.",
)
@allow_code_option
@click.option("--strict", is_flag=True, help="Pass only if every line is determined.")
@report_file_options
@device_options
@common_options
def command(
    contract: Path,
    device: str,
    target: str | None,
    backend: str,
    report: Path | None,
    work: Path | None,
    profile: str,
    sign_key: Path | None,
    allow_code: bool,
    strict: bool,
    junit: Path | None,
    markdown: Path | None,
    accept_new: bool,
    out: Output,
) -> int:
    """Optimize, compile, push, bench, test and check the model of CONTRACT on a device.

    Exits 0 when the contract holds on the device, 1 when it does not or when the optimized model was refused. If a
    release breaks its contract and there is a previous release, that one becomes current again. `edgedeploy rollback`
    returns to the previous release at any time.
    """
    from edgedeploy import api
    from edgedeploy.report.exports.junit import shipment_junit
    from edgedeploy.report.exports.markdown import shipment_markdown
    from edgedeploy.report.terminal.shipment import shipment_tables

    shipment = api.ship(
        api.load_contract(contract),
        device,
        target=target,
        backend=backend,
        work=work,
        profile=profile,
        strict=strict,
        sign_key=sign_key,
        allow_code=allow_code,
        accept_new=accept_new,
        progress=out,
    )
    page = api.write_report(report, shipment) if report else None
    out.result(shipment, *shipment_tables(shipment))
    write_text(junit, shipment_junit(shipment))
    write_text(markdown, shipment_markdown(shipment))
    if page and not out.as_json:
        click.echo(f"report: {page}")
    return 0 if shipment.holds else 1
