"""`edgedeploy optimize`: a smaller and faster model by a recipe."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from edgedeploy.cli.output import Output, common_options


@click.command(name="optimize")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--recipe",
    required=True,
    metavar="NAME|FILE",
    help="A recipe's name, or the path of its TOML file. `auto` searches for the best.",
)
@click.option("--calibration", metavar="DATA", help="Typical inputs, from which quantizers take ranges.")
@click.option("--evaluation", metavar="DATA", help="Labelled inputs that the result is judged on.")
@click.option("--metric", default="top1", show_default=True, metavar="NAME|pkg.mod:fn", help="What is judged.")
@click.option(
    "--max-drop",
    type=click.FloatRange(min=0.0),
    default=0.01,
    show_default=True,
    help="How much the metric may fall, in its own units; without labels, the share of answers that may change.",
)
@click.option("--target", metavar="NAME", help="The kind of board that the result is for.")
@click.option(
    "--on",
    metavar="ADDRESS|none",
    help="Where the result is judged: an emulated board (board:rpi4), its answers and the instructions it executes; "
    "without, this machine, by time; `none` leaves speed unjudged.",
)
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    type=click.Choice(["larger", "loss", "slower", "unjudged"]),
    help="Let a result through although it is larger, lost more than --max-drop, is slower, or could not be run. "
    "May be given more than once.",
)
@click.option(
    "--objective",
    type=click.Choice(["size", "speed", "balanced"]),
    help="What a search is after.  [default: balanced]",
)
@click.option(
    "--time-budget",
    "time_budget_s",
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="SECONDS",
    help="How long a search may take.  [default: 600]",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The file to write.")
@common_options
def command(
    model: Path,
    recipe: str,
    calibration: str | None,
    evaluation: str | None,
    metric: str,
    max_drop: float,
    target: str | None,
    on: str | None,
    allowed: tuple[str, ...],
    objective: str | None,
    time_budget_s: float | None,
    output: Path,
    out: Output,
) -> int:
    """Make MODEL smaller and faster by a recipe, and refuse to make it worse.

    OUT, and OUT.evidence.json beside it, are written only if the result loads, is not larger nor slower than MODEL, and
    loses at most --max-drop on the evaluation data. Exit code 1 says that it was refused; the reasons are printed.

    A search (--recipe auto) tries many ways and takes the best that holds; what it tried is in OUT.search.json, .csv
    and .svg. One that is stopped goes on where it was when the command is given again.

    DATA is a .npz with an array per input (and `labels`), a folder of such files, or package.module:callable.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal.evidence import evidence_table

    board = None
    if target is not None:
        board = api.load_target(target)
    loaded = api.load_recipe(recipe)
    if not loaded.is_search and (objective is not None or time_budget_s is not None):
        raise click.UsageError(f"--objective and --time-budget are for a search; the recipe {loaded.name} is none")
    defaults = api.SearchSettings()
    with contextlib.nullcontext(api.NOBODY) if on == "none" else api.judges(on, progress=out) as judges:
        evidence = api.optimize(
            model,
            loaded,
            output,
            calibration=calibration,
            evaluation=evaluation,
            metric=metric,
            max_drop=max_drop,
            target=board,
            speed=judges.speed,
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
