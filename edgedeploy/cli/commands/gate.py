"""`edgedeploy gate`: contracts on emulated boards, and their figures against a baseline, for CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_target
from edgedeploy.cli.options.contract import allow_code_option, backend_option
from edgedeploy.cli.options.thresholds import threshold_options
from edgedeploy.cli.output import Output, common_options

if TYPE_CHECKING:
    from edgedeploy.values.baseline import Thresholds


@click.command(
    name="gate",
    epilog=examples(
        "edgedeploy gate contract.toml --baseline baseline.json",
        "edgedeploy gate contract.toml --baseline baseline.json --save",
        "edgedeploy gate a.toml b.toml --target rpi4 --target rpi2",
    ),
)
@click.argument("contracts", metavar="CONTRACT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check instructions and size against those in FILE. It has to exist.",
)
@click.option("--save", is_flag=True, help="Write the figures to the baseline, if everything holds; make it if new.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    default=("rpi4",),
    show_default=True,
    metavar="NAME",
    shell_complete=complete_target,
    help="What the board is, and what is built for. May be repeated.",
)
@backend_option
@click.option("--minimal", is_flag=True, help="Use boards without Python, for backends that need none; faster.")
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("edgedeploy-gate"),
    show_default=True,
    metavar="FOLDER",
    help="Write summary.md, junit.xml, gate.json, metrics.txt and reports to FOLDER.",
)
@allow_code_option
@click.option("--strict", is_flag=True, help="Pass only if every line of the contract is determined.")
@threshold_options
@common_options
def command(
    contracts: tuple[Path, ...],
    baseline: Path | None,
    save: bool,
    targets: tuple[str, ...],
    backend: str,
    minimal: bool,
    folder: Path,
    allow_code: bool,
    strict: bool,
    thresholds: Thresholds,
    out: Output,
) -> int:
    """Ship models to emulated boards that count instructions; check contracts and baseline.

    Contracts, data and baseline are checked before a board is booted. There is one board for each target. The files in
    FOLDER are written also when something fails or the command is stopped.

    Exits 0 when all holds, 1 when something breaks, and with the code of the first error otherwise.
    """
    from edgedeploy import api
    from edgedeploy.report.content.gate import problems_of
    from edgedeploy.report.terminal.gate import gate_tables

    if save and baseline is None:
        raise click.UsageError("--save needs --baseline FILE: the file that is written.")
    settings = api.GateSettings(
        baseline=baseline,
        save=save,
        backend=backend,
        minimal=minimal,
        strict=strict,
        allow_code=allow_code,
        thresholds=thresholds,
    )
    result = api.gate(contracts, targets=targets, settings=settings, out=folder, progress=out)
    out.result(result, *gate_tables(result))
    for where, problem in problems_of(result):
        error = api.EdgedeployError(problem.what, why=problem.why, hint=problem.hint)
        click.echo(f"error: {f'{where}: ' if where else ''}{error}", err=True)
    return result.exit_code
