"""`edgedeploy contract`: write, show and check contracts."""

from __future__ import annotations

import datetime
import shlex
from pathlib import Path

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_file, complete_metric, complete_recipe
from edgedeploy.cli.options.contract import allow_code_option, new_contract_option, targets_with_limits_option
from edgedeploy.cli.options.data import data_options
from edgedeploy.cli.options.metric import head_option
from edgedeploy.cli.options.report_files import report_file_options, write_text
from edgedeploy.cli.output import Output, common_options

_CONTRACT = click.argument("contract", type=click.Path(path_type=Path), metavar="CONTRACT")


@click.group(
    name="contract",
    epilog=examples(
        "edgedeploy contract new model.onnx --evaluation labeled.npz -o contract.toml",
        "edgedeploy contract check contract.toml",
    ),
)
def command() -> None:
    """Write, show or check a contract: what a model must reach on a device, from the people who trained it.

    `edgedeploy check` and `edgedeploy ship` check a device against a contract.
    """


@command.command(
    epilog=examples(
        "edgedeploy contract new model.onnx --evaluation labeled.npz \\",
        "    --calibration typical.npz --owner 'vision team' -o contract.toml",
    )
)
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL")
@click.option(
    "--evaluation",
    required=True,
    metavar="DATA",
    shell_complete=complete_file,
    help="Labeled data on which the limits are checked.",
)
@click.option(
    "--calibration",
    metavar="DATA",
    shell_complete=complete_file,
    help="Typical inputs. Recipes with 8-bit activations need them.",
)
@click.option(
    "--metric",
    metavar="NAME|pkg.mod:fn",
    shell_complete=complete_metric,
    help="The metric: a built-in one (top1, f1, map, rmse, wer, …) or package.module:fn.  [default: that of the task]",
)
@head_option
@data_options
@click.option("--name", metavar="NAME", help="Name of the model on devices. Default: as `edgedeploy compile` names it.")
@click.option("--version", default="1.0", show_default=True, metavar="VERSION", help="Version of the model.")
@click.option(
    "--framework", default="not stated", metavar="TEXT", help="The framework that the model was trained with."
)
@click.option("--owner", metavar="TEXT", help="The person or team to contact when the contract breaks.")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="The last day on which the contract is valid.",
)
@click.option(
    "--recipe",
    metavar="NAME",
    shell_complete=complete_recipe,
    help="The recipe. Default: int8; weights-int8 without --calibration.",
)
@targets_with_limits_option
@new_contract_option
@common_options
def new(
    model: Path,
    evaluation: str,
    calibration: str | None,
    metric: str | None,
    head: str | None,
    preset: str,
    skip_broken: bool,
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
    """Write a contract for MODEL, with hashes and measured metric.

    The metric is measured on this machine. Edit the limits afterwards.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal.contract import contract_table

    proposal = api.Proposal(
        model=model,
        evaluation=api.data_source(evaluation, preset=preset, skip_broken=skip_broken),
        calibration=calibration and api.data_source(calibration, preset=preset, skip_broken=skip_broken),
        head=api.load_head(head) if head is not None else None,
        metric=metric,
        name=name or api.model_name(model),
        version=version,
        framework=framework,
        owner=owner,
        expires=expires.date() if expires else None,
        recipe=recipe,
        targets=targets,
    )
    contract = api.new_contract(proposal, output, progress=out)
    out.result(
        contract,
        f"wrote {output}: edit its limits, then run: edgedeploy contract check {shlex.quote(str(output))}\n",
        contract_table(contract),
    )
    return 0


@command.command(
    epilog=examples(
        "edgedeploy contract show contract.toml",
    )
)
@_CONTRACT
@common_options
def show(contract: Path, out: Output) -> int:
    """Show every key of CONTRACT, defaults included."""
    from edgedeploy import api
    from edgedeploy.report.terminal.contract import contract_table

    loaded = api.load_contract(contract)
    out.result(loaded, contract_table(loaded))
    return 0


@command.command(
    epilog=examples(
        "edgedeploy contract check contract.toml --junit contract.xml",
        "edgedeploy contract check */contract.toml",
    )
)
@click.argument("contracts", metavar="CONTRACT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@allow_code_option
@report_file_options
@common_options
def check(contracts: tuple[Path, ...], allow_code: bool, junit: Path | None, markdown: Path | None, out: Output) -> int:
    """Check that everything each CONTRACT names exists and matches.

    Checked are model, data, metric, recipe, targets and expiry date.
    A dataset or metric that is Python code is run only with --allow-code; without, its line is not determined. Exits 0
    when everything matches, 1 otherwise. With several contracts, --json prints a list.
    """
    from edgedeploy import api
    from edgedeploy.report.exports.junit import verdicts_junit
    from edgedeploy.report.exports.markdown import verdict_markdown
    from edgedeploy.report.terminal.verdict import verdict_table
    from edgedeploy.values.contract import Outcome

    loaded = [api.load_contract(path) for path in contracts]
    verdicts = [api.check_hand_over(contract, allow_code=allow_code) for contract in loaded]
    tables = [part for verdict in verdicts for part in (verdict_table(verdict), "")][:-1]
    out.result(verdicts[0] if len(verdicts) == 1 else verdicts, *tables)
    write_text(junit, verdicts_junit(verdicts))
    write_text(markdown, "\n".join(map(verdict_markdown, verdicts)))
    return 0 if all(verdict.outcome is Outcome.HOLDS for verdict in verdicts) else 1
