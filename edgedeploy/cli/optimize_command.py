"""`edgedeploy optimize`."""

from __future__ import annotations

from pathlib import Path

import click

from edgedeploy.cli.output import Output, common_options


@click.command(name="optimize")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--recipe", required=True, metavar="NAME|FILE", help="A recipe's name, or the path of its TOML file.")
@click.option("--calibration", metavar="DATA", help="Typical inputs, from which quantizers take ranges.")
@click.option("--evaluation", metavar="DATA", help="Labelled inputs that the result is judged on.")
@click.option("--metric", default="top1", show_default=True, metavar="NAME|pkg.mod:fn", help="What is judged.")
@click.option(
    "--max-drop",
    type=click.FloatRange(min=0.0),
    default=0.01,
    show_default=True,
    help="How much the metric may fall, in its own units.",
)
@click.option("--target", metavar="NAME", help="The kind of board that the result is for.")
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
    output: Path,
    out: Output,
) -> int:
    """Make MODEL smaller and faster by a recipe, and refuse to make it worse.

    OUT, and OUT.evidence.json beside it, are written only if the result loads, is not larger than MODEL, and loses at
    most --max-drop on the evaluation data. Exit code 1 says that it was refused; the reasons are printed.

    DATA is a .npz with an array per input (and `labels`), a folder of such files, or package.module:callable.
    """
    from edgedeploy.optimize.optimize import evidence_path, optimize
    from edgedeploy.optimize.recipe import load_recipe
    from edgedeploy.report.terminal_evidence import evidence_table

    board = None
    if target is not None:
        from edgedeploy.target.load import load_target

        board = load_target(target)
    evidence = optimize(
        model,
        load_recipe(recipe),
        output,
        calibration=calibration,
        evaluation=evaluation,
        metric=metric,
        max_drop=max_drop,
        target=board,
        progress=out,
    )
    out.result(evidence, evidence_table(evidence))
    if evidence.accepted and not out.as_json:
        click.echo(f"wrote {output} and {evidence_path(output).name}")
    return 0 if evidence.accepted else 1
