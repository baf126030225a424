"""`edgedeploy init`: write a contract for a model and labeled data."""

from __future__ import annotations

import shlex
import typing
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_file, complete_metric, complete_recipe
from edgedeploy.cli.options.contract import new_contract_option, targets_with_limits_option
from edgedeploy.cli.options.data import data_options
from edgedeploy.cli.options.metric import head_option
from edgedeploy.cli.output import Output, common_options
from edgedeploy.values.data import Task

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command(
    name="init",
    epilog=examples(
        "edgedeploy init model.onnx labeled.npz -o new.toml",
        "edgedeploy init model.onnx labeled.npz --metric f1 --target rpi4 -o f1.toml",
    ),
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", metavar="DATA", shell_complete=complete_file)
@click.option(
    "--task",
    type=click.Choice(typing.get_args(Task)),
    metavar="TASK",
    help=f"What the model is for: {', '.join(typing.get_args(Task))}.  [default: guessed]",
)
@click.option(
    "--metric",
    metavar="NAME|pkg.mod:fn",
    shell_complete=complete_metric,
    help="The metric that is judged.  [default: the usual one of the task]",
)
@head_option
@click.option(
    "--calibration",
    metavar="DATA",
    shell_complete=complete_file,
    help="Typical inputs.  [default: the training part beside DATA; else DATA, if it is files]",
)
@click.option("--name", metavar="NAME", help="Name of the model on devices. Default: as `edgedeploy compile` names it.")
@click.option("--version", default="1.0", show_default=True, metavar="VERSION", help="Version of the model.")
@click.option("--owner", metavar="TEXT", help="The person or team to contact when the contract breaks.")
@click.option(
    "--recipe",
    metavar="NAME",
    shell_complete=complete_recipe,
    help="The recipe.  [default: int8; weights-int8 without calibration data]",
)
@targets_with_limits_option
@new_contract_option
@data_options
@common_options
def command(
    model: Path,
    data: str,
    task: str | None,
    metric: str | None,
    head: str | None,
    calibration: str | None,
    name: str | None,
    version: str,
    owner: str | None,
    recipe: str | None,
    targets: tuple[str, ...],
    output: Path,
    preset: str,
    skip_broken: bool,
    out: Output,
) -> int:
    """Write a contract for MODEL and labeled DATA that ship takes as it is.

    Nothing is asked. What is not stated is guessed, and each guess is printed with its reason: format and task from the
    files, head and preprocessing by running MODEL on samples with each that fits. Check them, then edit the limits.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal.init import guesses_table

    settings = api.InitSettings(
        task=cast("Task | None", task),
        preset=preset,
        metric=metric,
        head=api.load_head(head) if head is not None else None,
        calibration=calibration,
        skip_broken=skip_broken,
        name=name or api.model_name(model),
        version=version,
        owner=owner,
        recipe=recipe,
        targets=targets,
    )
    found = api.init(model, data, output, settings, progress=out)
    shown: list[RenderableType] = [
        guesses_table(found.guesses),
        f"\nwrote {output}: check what was guessed, edit its limits, then run:\n"
        f"edgedeploy ship {shlex.quote(str(output))} DEVICE",
    ]
    out.result(found, *shown)
    return 0
