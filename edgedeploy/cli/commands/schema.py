"""`edgedeploy schema`: print the JSON Schemas of files that edgedeploy reads and prints."""

from __future__ import annotations

import importlib.resources

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.output import Output, common_options

SCHEMAS = ("baseline", "contract", "data", "gate", "manifest", "measurement", "report", "smoke", "verdict")


@click.command(
    name="schema",
    epilog=examples(
        "edgedeploy schema contract > contract.schema.json",
    ),
)
@click.argument("name", type=click.Choice(SCHEMAS), metavar="NAME")
@common_options
def command(name: str, out: Output) -> int:
    """Print the JSON Schema of NAME: baseline, contract, data, gate, manifest,
    measurement, report, smoke or verdict.

    The output is JSON with or without --json. Contracts and data.toml are TOML: convert them to JSON to validate them.
    """
    out.finish()
    schema = importlib.resources.files("edgedeploy") / "values" / f"{name}.schema.json"
    click.echo(schema.read_text(encoding="utf-8"), nl=False)
    return 0
