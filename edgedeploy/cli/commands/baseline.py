"""`edgedeploy baseline`: save figures of a good release, and check later ones against them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.report_files import report_file_options, write_text
from edgedeploy.cli.options.thresholds import threshold_options
from edgedeploy.cli.output import Output, common_options

_MEASUREMENTS = click.argument(
    "measurements", metavar="MEASUREMENT...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
_FILE = click.argument("file", type=click.Path(path_type=Path))

if TYPE_CHECKING:
    from edgedeploy.values.baseline import Thresholds


@click.group(
    name="baseline",
    epilog=examples(
        "edgedeploy baseline save baseline.json run1.json run2.json run3.json",
        "edgedeploy baseline check baseline.json run4.json",
    ),
)
def command() -> None:
    """Save the figures of good releases in a file, and check later releases against them.

    Instruction counts (`board up --count`) are the same on every machine, busy or not: one run is enough. Latency and
    memory differ from run to run: give at least three measurements, each from `bench -o FILE`. With five, the assumed
    noise is a third of what it is with three.
    """


@command.command(
    epilog=examples(
        "edgedeploy baseline save baseline.json run1.json run2.json run3.json",
    )
)
@_FILE
@_MEASUREMENTS
@common_options
def save(file: Path, measurements: tuple[Path, ...], out: Output) -> int:
    """Write the figures of these measurements to FILE. They replace those of the same model and board."""
    from edgedeploy import api
    from edgedeploy.report.terminal.baseline import baseline_table, unknown_noise

    new = api.baseline_of([api.load_measurement(path) for path in measurements])
    kept = api.updated_baseline(api.load_baseline(file), new) if file.exists() else new
    api.save_baseline(kept, file)
    out.result(kept, baseline_table(kept), *unknown_noise(new))
    return 0


@command.command(
    epilog=examples(
        "edgedeploy baseline show baseline.json",
    )
)
@_FILE
@common_options
def show(file: Path, out: Output) -> int:
    """Show the figures in FILE."""
    from edgedeploy import api
    from edgedeploy.report.terminal.baseline import baseline_table

    found = api.load_baseline(file)
    out.result(found, baseline_table(found))
    return 0


@command.command(
    epilog=examples(
        "edgedeploy baseline check baseline.json run4.json --markdown gate.md",
    )
)
@_FILE
@_MEASUREMENTS
@threshold_options
@click.option("--strict", is_flag=True, help="Pass only if every line is determined.")
@report_file_options
@common_options
def check(
    file: Path,
    measurements: tuple[Path, ...],
    thresholds: Thresholds,
    strict: bool,
    junit: Path | None,
    markdown: Path | None,
    out: Output,
) -> int:
    """Check measurements against those in FILE.

    Exits 0 when nothing got worse, 1 when something did or nothing is determined. A figure is worse when it grew by
    more than its threshold and by more than its noise.
    """
    from edgedeploy import api
    from edgedeploy.report.exports.junit import junit_xml
    from edgedeploy.report.exports.markdown import verdict_markdown
    from edgedeploy.report.terminal.verdict import verdict_table
    from edgedeploy.values.contract import Outcome

    found = [api.load_measurement(path) for path in measurements]
    verdict = api.check_baseline(api.load_baseline(file), api.baseline_of(found), thresholds, strict=strict)
    out.result(verdict, verdict_table(verdict))
    write_text(junit, junit_xml(verdict, found[0]))
    write_text(markdown, verdict_markdown(verdict))
    return 0 if verdict.outcome is Outcome.HOLDS else 1
