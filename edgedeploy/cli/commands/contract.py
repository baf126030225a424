"""`edgedeploy contract`: the hand-over from the people who trained a model."""

from __future__ import annotations

import datetime
from pathlib import Path

import click

from edgedeploy.cli.options.report_files import report_file_options, write_text
from edgedeploy.cli.output import Output, common_options

_CONTRACT = click.argument("contract", type=click.Path(path_type=Path), metavar="CONTRACT")


@click.group(name="contract")
def command() -> None:
    """Contracts, as the people who trained a model hand them over: new, show, check.

    `edgedeploy check` and `ship` hold a device against one.
    """


@command.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL")
@click.option("--evaluation", required=True, metavar="DATA", help="Labelled: what the model is promised to be good at.")
@click.option("--calibration", metavar="DATA", help="Typical inputs; recipes with 8-bit activations need them.")
@click.option("--metric", default="top1", show_default=True, metavar="NAME", help="top1, top5, or package.module:fn.")
@click.option("--name", metavar="NAME", help="Of the model on devices; by default that of the file.")
@click.option("--version", default="1.0", show_default=True, metavar="VERSION", help="Of the model.")
@click.option("--framework", default="not stated", metavar="TEXT", help="What it was trained with.")
@click.option("--owner", metavar="TEXT", help="Whom to ask when the contract breaks.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="The last day it is good for.")
@click.option("--recipe", metavar="NAME", help="By default int8, and weights-int8 without --calibration.")
@click.option("--target", "targets", multiple=True, metavar="NAME", help="Add a table of its limits; repeat for more.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("contract.toml"),
    show_default=True,
    metavar="FILE",
    help="Model and data have to lie in its folder or below.",
)
@common_options
def new(
    model: Path,
    evaluation: str,
    calibration: str | None,
    metric: str,
    name: str | None,
    version: str,
    framework: str,
    owner: str | None,
    expires: datetime.datetime | None,
    recipe: str | None,
    targets: tuple[str, ...],
    output: Path,
    out: Output,
) -> int:
    """Write a contract for MODEL, with its hashes and what it reaches on this machine; then set the limits."""
    from edgedeploy import api
    from edgedeploy.report.terminal.contract import contract_table

    proposal = api.Proposal(
        model=model,
        evaluation=evaluation,
        calibration=calibration,
        metric=metric,
        name=name or model.stem.lower().replace("_", "-"),
        version=version,
        framework=framework,
        owner=owner,
        expires=expires.date() if expires else None,
        recipe=recipe,
        targets=targets,
    )
    contract = api.new_contract(proposal, output, progress=out)
    out.result(
        contract, f"{output}: look at its limits, then edgedeploy contract check {output}\n", contract_table(contract)
    )
    return 0


@command.command()
@_CONTRACT
@common_options
def show(contract: Path, out: Output) -> int:
    """What CONTRACT says: every key, defaults included."""
    from edgedeploy import api
    from edgedeploy.report.terminal.contract import contract_table

    loaded = api.load_contract(contract)
    out.result(loaded, contract_table(loaded))
    return 0


@command.command()
@_CONTRACT
@report_file_options
@common_options
def check(contract: Path, junit: Path | None, markdown: Path | None, out: Output) -> int:
    """Whether all that CONTRACT names is there and is what it says: model, data, metric, recipe, targets, expiry.

    Nothing is run but what a dataset or metric of your own is. Exits 0 when all of it is, 1 when something is not.
    """
    from edgedeploy import api
    from edgedeploy.report.exports.junit import junit_xml
    from edgedeploy.report.exports.markdown import verdict_markdown
    from edgedeploy.report.terminal.verdict import verdict_table
    from edgedeploy.values.contract import Outcome

    verdict = api.check_hand_over(api.load_contract(contract))
    out.result(verdict, verdict_table(verdict))
    write_text(junit, junit_xml(verdict))
    write_text(markdown, verdict_markdown(verdict))
    return 0 if verdict.outcome is Outcome.HOLDS else 1
