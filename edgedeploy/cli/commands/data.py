"""`edgedeploy data`: look at data as a model will see it."""

from __future__ import annotations

from pathlib import Path

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_file, complete_metric
from edgedeploy.cli.options.data import data_options
from edgedeploy.cli.output import Output, common_options


@click.group(
    name="data",
    epilog=examples(
        "edgedeploy data show labeled.npz --model model.onnx",
    ),
)
def command() -> None:
    """Show what a model will see of a dataset.

    What datasets are, and how they are declared: docs/data.md.
    """


@command.command(
    epilog=examples(
        "edgedeploy data show labeled.npz --model model.onnx",
        "edgedeploy data show labeled.npz --model model.onnx \\",
        "    --calibration typical.npz --contact-sheet sheet.png",
    )
)
@click.argument("data", metavar="DATA", shell_complete=complete_file)
@click.option(
    "--model",
    required=True,
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="The model that the data is for.",
)
@click.option(
    "--calibration",
    metavar="DATA",
    shell_complete=complete_file,
    help="Other data for the same model: values outside of its range are a warning.",
)
@click.option(
    "--metric",
    metavar="NAME",
    shell_complete=complete_metric,
    help="The metric by which the model's answers are tried.  [default: that of the task]",
)
@click.option(
    "--contact-sheet",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Write a picture of the first samples as the model sees them, with their labels.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="How many samples are looked at, spread over the dataset.",
)
@data_options
@common_options
def show(
    data: str,
    model: Path,
    calibration: str | None,
    metric: str | None,
    contact_sheet: Path | None,
    samples: int,
    preset: str,
    skip_broken: bool,
    out: Output,
) -> int:
    """Show what DATA holds and what MODEL gets of it.

    Warnings are about values that models seldom take, colors that look swapped, numbers of classes that are off by one.
    The model is run on 64 samples for that, as they are declared and with colors or numbers changed.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal.data_summary import data_summary_tables

    summary = api.data_show(
        api.data_source(data, preset=preset, skip_broken=skip_broken),
        model,
        calibration=api.data_source(calibration, preset=preset) if calibration is not None else None,
        metric=metric,
        contact_sheet_file=contact_sheet,
        samples=samples,
        progress=out,
    )
    out.result(summary, *data_summary_tables(summary))
    return 0
