"""`edgedeploy trend`: the history of a baseline in git, as a page."""

from __future__ import annotations

from pathlib import Path

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.output import Output, common_options


@click.command(
    name="trend",
    epilog=examples(
        "edgedeploy trend baseline.json",
        "edgedeploy trend baseline.json -o trend.html --commits 50",
    ),
)
@click.argument("baseline", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write a page (HTML) to FILE.")
@click.option(
    "--commits",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    help="How many commits of the file to read, the newest.",
)
@common_options
def command(baseline: Path, output: Path | None, commits: int, out: Output) -> int:
    """Show size, instructions and accuracy over the commits of BASELINE, and who moved each.

    BASELINE is a file in a git repository, as `edgedeploy gate --save` and `baseline save` write it.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal.trend import trend_tables

    history = api.trend(baseline, most=commits, progress=out)
    page = api.write_trend(output, history) if output else None
    out.result(history, *trend_tables(history))
    if page and not out.as_json:
        click.echo(f"page: {page}")
    return 0
