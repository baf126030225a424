"""`edgedeploy check`: check measurements against a contract."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.report_files import report_file_options, write_text
from edgedeploy.cli.output import Output, common_options


@click.command(
    name="check",
    epilog=examples(
        "edgedeploy check bench.json test.json --contract contract.toml --strict",
    ),
)
@click.argument("measurements", metavar="MEASUREMENT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--contract",
    "contract_path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The contract, in TOML: see the README.",
)
@click.option("--strict", is_flag=True, help="Pass only if every line is determined.")
@report_file_options
@common_options
def command(
    measurements: tuple[Path, ...],
    contract_path: Path,
    strict: bool,
    junit: Path | None,
    markdown: Path | None,
    out: Output,
) -> int:
    """Check measurements of one release on one device against a contract.

    Measurements are the files that `bench -o` and `test -o` write. Several are merged: the timing of one, the accuracy
    of another. Exits 0 when the contract holds, 1 when a line breaks or no limit is determined.
    """
    from edgedeploy import api
    from edgedeploy.report.exports.junit import junit_xml
    from edgedeploy.report.exports.markdown import verdict_markdown
    from edgedeploy.report.terminal.verdict import verdict_table
    from edgedeploy.values.contract import Outcome

    contract = api.load_contract(contract_path)
    measurement = functools.reduce(api.merge_measurements, [api.load_measurement(path) for path in measurements])
    verdict = api.check(contract, measurement, strict=strict)
    out.result(verdict, verdict_table(verdict))
    write_text(junit, junit_xml(verdict, measurement))
    write_text(markdown, verdict_markdown(verdict))
    return 0 if verdict.outcome is Outcome.HOLDS else 1
