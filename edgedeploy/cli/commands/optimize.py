"""`edgedeploy optimize`: make a model smaller and faster."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_file, complete_metric, complete_recipe, complete_target
from edgedeploy.cli.options.data import data_options
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.options.metric import DropType, head_option
from edgedeploy.cli.output import Output, common_options


@click.command(
    name="optimize",
    epilog=examples(
        "edgedeploy optimize model.onnx --recipe weights-int8 -o small.onnx",
        "edgedeploy optimize model.onnx --recipe auto --calibration typical.npz \\",
        "    --evaluation labeled.npz --on board:rpi4 -o small.onnx",
    ),
)
@click.argument("model", type=click.Path(path_type=Path))
@device_argument(
    required=False,
    option_metavar="ADDRESS|none",
    option_help="An emulated board (board:rpi4) that judges the answers and the speed, by instructions executed. "
    "Default: this machine judges, by time. `none`: speed is not judged. Other devices judge in `ship`. "
    "The same as the argument DEVICE.",
)
@click.option(
    "--recipe",
    required=True,
    metavar="NAME|FILE",
    shell_complete=complete_recipe,
    help="Name of a recipe (`edgedeploy recipes` lists them), or path of its TOML file. `auto` searches for the best "
    "result.",
)
@click.option(
    "--calibration",
    metavar="DATA",
    shell_complete=complete_file,
    help="Typical inputs, from which quantizers take value ranges.",
)
@click.option(
    "--evaluation", metavar="DATA", shell_complete=complete_file, help="Labeled inputs, on which the result is judged."
)
@click.option(
    "--metric",
    metavar="NAME|pkg.mod:fn",
    shell_complete=complete_metric,
    help="The metric that is judged: a built-in one (top1, f1, map, rmse, wer, …) or package.module:function. One for "
    "classifiers also says that the model classifies, if there are no labels.  [default: top1 if there are labels]",
)
@head_option
@data_options
@click.option(
    "--max-drop",
    type=DropType(),
    default="0.01",
    show_default=True,
    help="How much worse the metric may get: in its own units, or in per cent of what it was (2%). "
    "Without labels: the share of answers that may change, of a "
    "model that classifies.",
)
@click.option(
    "--target",
    metavar="NAME",
    shell_complete=complete_target,
    help="The kind of board that will run the result: see `edgedeploy targets`.",
)
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    type=click.Choice(["larger", "loss", "slower", "unjudged"]),
    help="Accept a result that is larger, lost more than --max-drop, is slower, or could not be run. "
    "Repeat it for more.",
)
@click.option(
    "--objective",
    type=click.Choice(["size", "speed", "balanced"]),
    help="What a search optimizes for.  [default: balanced]",
)
@click.option(
    "--time-budget",
    "time_budget_s",
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="SECONDS",
    help="Maximum duration of a search.  [default: 600]",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The file to write.")
@common_options
def command(
    model: Path,
    recipe: str,
    calibration: str | None,
    evaluation: str | None,
    metric: str | None,
    head: str | None,
    preset: str,
    skip_broken: bool,
    max_drop: str,
    target: str | None,
    device: str | None,
    allowed: tuple[str, ...],
    objective: str | None,
    time_budget_s: float | None,
    output: Path,
    out: Output,
) -> int:
    """Make MODEL smaller and faster with a recipe, without making it worse.

    OUT and OUT.evidence.json are written only if the result loads, is neither larger nor slower than MODEL, and loses
    at most --max-drop on the evaluation data. If it is refused, the exit code is 1 and the reasons are printed.

    A search (--recipe auto) tries many variants and takes the best one that meets these conditions. Its trials are in
    OUT.search.json, .csv and .svg. To continue a search that was stopped, run the same command again.

    DATA is files as you have them (pictures, COCO, YOLO, masks …: docs/data.md), a data.toml, a .npz file with an array
    for each input (and `labels`), a folder of such files, or package.module:callable.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal.evidence import evidence_table

    board = None
    if target is not None:
        board = api.load_target(target)
    loaded = api.load_recipe(recipe)
    if not loaded.is_search and (objective is not None or time_budget_s is not None):
        raise click.UsageError(f"--objective and --time-budget are for a search; {loaded.name} is not a search")
    defaults = api.SearchSettings()
    data = [
        spec and api.data_source(spec, preset=preset, skip_broken=skip_broken) for spec in (calibration, evaluation)
    ]
    with contextlib.nullcontext(api.NOBODY) if device == "none" else api.judges(device, progress=out) as judges:
        evidence = api.optimize(
            model,
            loaded,
            output,
            calibration=data[0],
            evaluation=data[1],
            metric=metric,
            head=api.load_head(head) if head is not None else None,
            max_drop=max_drop,
            target=board,
            speed=judges.speed,
            speed_unjudged=judges.unjudged,
            board=judges.board,
            allowed=allowed,  # type: ignore[arg-type]
            search_settings=api.SearchSettings(
                objective=objective or defaults.objective,  # type: ignore[arg-type]
                time_budget_s=time_budget_s or defaults.time_budget_s,
            ),
            progress=out,
        )
    out.result(evidence, evidence_table(evidence))
    if evidence.accepted and not out.as_json:
        click.echo(f"wrote {output} and {api.evidence_path(output).name}")
    return 0 if evidence.accepted else 1
