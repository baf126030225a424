"""`edgedeploy compile`: build a model into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_backend, complete_file, complete_target
from edgedeploy.cli.options.input_shapes import input_shape_option
from edgedeploy.cli.output import Output, common_options


def _picture_size(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | Literal["any", "model"] | None:
    """Parse `"480x640"` to `(480, 640)`."""
    if value is None:
        return None
    if value == "any":
        return "any"
    if value == "model":
        return "model"
    height, _, width = value.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise click.BadParameter(f"{value!r} is not any, model, or HEIGHTxWIDTH such as 480x640", ctx, param)
    return int(height), int(width)


@click.command(
    name="compile",
    epilog=examples(
        "edgedeploy compile small.onnx --target rpi4 --golden typical.npz \\",
        "    -o small.bundle",
        "edgedeploy compile small.onnx --target rpi-zero --backend native \\",
        "    --input-shape x=1x3x48x192 -o small.edge",
        "edgedeploy compile small.onnx --target rpi4 --preprocessing data.toml \\",
        "    --embed-preprocessing -o small.bundle",
    ),
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--target",
    "target_name",
    required=True,
    metavar="NAME",
    shell_complete=complete_target,
    help="The kind of board: see `edgedeploy targets`.",
)
@click.option(
    "--backend",
    metavar="auto|NAME",
    default="auto",
    shell_complete=complete_backend,
    show_default=True,
    help="Executes the model on the board: a backend that `edgedeploy targets NAME` lists. auto takes the first one "
    "that can run the model.",
)
@click.option(
    "--golden",
    metavar="DATA",
    shell_complete=complete_file,
    help="Samples for the health check, stored with their outputs. Default: random samples.",
)
@input_shape_option("Shape of a dynamic input, for random golden samples and for backends with static shapes.")
@click.option(
    "--name",
    metavar="NAME",
    help="Name of the model on devices. Default: from the contract; from MODEL, where `optimize` records it; or from "
    "the name of the file.",
)
@click.option("--version", metavar="VERSION", help="Version of the model on devices. Default: from the contract, or 1.")
@click.option(
    "--contract",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The contract of the model. `edgedeploy status` shows it for a device that has the bundle.",
)
@click.option(
    "--preprocessing",
    "declared",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A data.toml whose table [preprocessing] says what is done to samples before the model sees them. The bundle "
    "records it. Default: what DATA or the contract declares.",
)
@click.option(
    "--embed-preprocessing",
    "embed",
    is_flag=True,
    help="Put that into the model: it takes pictures then (bytes, batch x height x width x channels).",
)
@click.option(
    "--picture-size",
    "pictures",
    metavar="any|model|HEIGHTxWIDTH",
    callback=_picture_size,
    help="Of the pictures that the model takes with --embed-preprocessing: any; one size; or that of the model, and "
    "your application resizes. Default: any, for backends that take dynamic shapes.",
)
@click.option(
    "--picture-color",
    type=click.Choice(["rgb", "bgr"]),
    default="rgb",
    show_default=True,
    help="The order of colors in them: bgr for frames as OpenCV gives them.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="BUNDLE",
    help="The folder to write; or NAME.edge for one file.",
)
@common_options
def command(
    model: Path,
    target_name: str,
    backend: str,
    golden: str | None,
    input_shapes: dict[str, tuple[int, ...]],
    name: str | None,
    version: str | None,
    contract: Path | None,
    declared: Path | None,
    embed: bool,
    pictures: tuple[int, int] | Literal["any", "model"] | None,
    picture_color: Literal["rgb", "bgr"],
    output: Path,
    out: Output,
) -> int:
    """Build MODEL into a bundle for a target: the model, its runtime, a runner, golden inputs and outputs.

    DATA is FILE.npz, a folder of .npz files, or package.module:callable.
    """
    from edgedeploy import api
    from edgedeploy.cli.commands.bundle import bundle_table

    handed_over = api.load_contract(contract) if contract else None
    embed = embed or (handed_over is not None and handed_over.data.embed_preprocessing)
    if (pictures is not None or picture_color != "rgb") and not embed:
        raise click.UsageError(
            "--picture-size and --picture-color are of what a model with --embed-preprocessing takes"
        )
    if handed_over is not None:
        name, version = name or handed_over.model.name, version or handed_over.model.version
    bundle = api.compile(
        model,
        api.load_target(target_name),
        output,
        name=name,
        version=version or "1",
        backend=backend,
        golden=golden,
        input_shapes=input_shapes,
        contract=handed_over,
        preprocessing=api.declared_preprocessing(declared) if declared else {},
        embed=embed,
        pictures=pictures,
        picture_color=picture_color,
        progress=out,
    )
    out.result(bundle, bundle_table(bundle))
    return 0
