"""`edgedeploy test`: measure the accuracy of a release on a device."""

from __future__ import annotations

from pathlib import Path

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_file, complete_metric
from edgedeploy.cli.options.data import data_options
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.options.metric import DropType, head_option
from edgedeploy.cli.output import Output, common_options, device_options


@click.command(
    name="test",
    epilog=examples(
        "edgedeploy test board:rpi4 --evaluation labeled.npz -o test.json",
    ),
)
@device_argument()
@click.option("--name", metavar="MODEL", help="The model, if the device has several.")
@click.option(
    "--evaluation",
    required=True,
    metavar="DATA",
    shell_complete=complete_file,
    help="Labeled data: files as you have them (docs/data.md), a data.toml, a .npz file, or package.module:callable.",
)
@click.option(
    "--metric",
    metavar="NAME|pkg.mod:fn",
    shell_complete=complete_metric,
    help="The metric: a built-in one (top1, f1, map, rmse, wer, …) or package.module:function. One for classifiers "
    "also says that the model classifies, if there are no labels.  [default: top1 if there are labels]",
)
@head_option
@data_options
@click.option(
    "--samples",
    "limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Run only the first N feeds. A part of the data cannot decide a contract.",
)
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    default=0.99,
    show_default=True,
    help="Minimum share of samples with the same answer as the host, of outputs that hold class scores or text.",
)
@click.option(
    "--min-sqnr-db",
    type=float,
    default=20.0,
    show_default=True,
    help="Minimum SQNR against the host in dB, of all other outputs.",
)
@click.option(
    "--max-drop",
    type=DropType(),
    default="0.01",
    show_default=True,
    help="How much worse than the host's the metric may be: in its own units, or in per cent of it (2%).",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The model file that was compiled. Needed for the backend native if another machine compiled it.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Also write the measurement to FILE."
)
@device_options
@common_options
def command(
    device: str,
    name: str | None,
    evaluation: str,
    metric: str | None,
    head: str | None,
    preset: str,
    skip_broken: bool,
    limit: int | None,
    min_agreement: float,
    min_sqnr_db: float,
    max_drop: str,
    model: Path | None,
    output: Path | None,
    accept_new: bool,
    out: Output,
) -> int:
    """Run DATA through the current release on DEVICE, and through the same model on this machine in exact arithmetic.

    Exits 1 when the device differs too much from the host: its metric is lower by more than --max-drop, or less than
    --min-agreement of the answers are the same. Every output is judged by itself. Answers are compared of outputs that
    hold class scores: the metric reads them, or each sample's elements are a distribution. For all other outputs,
    --min-sqnr-db takes the place of --min-agreement. Channels of an output that mean something else, such as boxes and
    scores, are judged by themselves, and need 10 dB; where a head is declared, 95 % of the detections must be kept.
    """
    from edgedeploy import api
    from edgedeploy.report.terminal.measurement import measurement_tables

    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        release = api.current_release(connection, name)
        measurement = api.test(
            connection,
            release,
            api.data_source(evaluation, preset=preset, skip_broken=skip_broken),
            metric=metric,
            head=api.load_head(head) if head else None,
            limit=limit,
            model=model,
            progress=out,
        )
    assert measurement.accuracy is not None
    wrong = api.disagreements(
        measurement.accuracy, min_agreement=min_agreement, min_sqnr_db=min_sqnr_db, max_drop=max_drop
    )
    answer = [f"✗ {reason}" for reason in wrong] or ["✓ the device answers as the host does"]
    # Shown first: minutes of measuring are not to be lost because a file cannot be written.
    out.result(measurement, *measurement_tables(measurement), *answer)
    if output:
        api.save_measurement(measurement, output)
    if wrong and out.as_json:
        click.echo("\n".join(answer), err=True)
    return int(bool(wrong))
