"""`edgedeploy compare`: compare the measurements of two releases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.report_files import report_file_options, write_text
from edgedeploy.cli.options.thresholds import threshold_options
from edgedeploy.cli.output import Output, common_options

if TYPE_CHECKING:
    from edgedeploy.values.baseline import Thresholds


@click.command(
    name="compare",
    epilog=examples(
        "edgedeploy compare before.json after.json",
        "edgedeploy compare runs-before/ runs-after/ --latency 3 --junit compare.xml",
    ),
)
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@threshold_options
@report_file_options
@common_options
def command(
    before: Path,
    after: Path,
    thresholds: Thresholds,
    junit: Path | None,
    markdown: Path | None,
    out: Output,
) -> int:
    """Check whether AFTER is worse than BEFORE. Each is a file of `bench -o`, or a folder with one such file per run.

    Exits 0 when nothing got worse, 1 when something did or nothing is determined. A figure is worse when it grew by
    more than its threshold and by more than its noise. The noise of latency and memory comes from the runs in BEFORE:
    at least three are needed.
    """
    from edgedeploy import api
    from edgedeploy.report.exports.junit import junit_xml
    from edgedeploy.report.exports.markdown import verdict_markdown
    from edgedeploy.report.terminal.verdict import verdict_table
    from edgedeploy.values.contract import Outcome

    runs = api.load_measurements(after)
    verdict = api.compare(api.load_measurements(before), runs, thresholds)
    out.result(verdict, verdict_table(verdict))
    write_text(junit, junit_xml(verdict, runs[0]))
    write_text(markdown, verdict_markdown(verdict))
    return 0 if verdict.outcome is Outcome.HOLDS else 1
