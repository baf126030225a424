"""`edgedeploy compile`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeploy.cli.input_shapes import input_shape_option
from edgedeploy.cli.output import Output, common_options
from edgedeploy.report.wording import bytes_in_words

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgedeploy.values.bundle import Bundle


@click.command(name="compile")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--target", "target_name", required=True, metavar="NAME", help="Kind of board: see `edgedeploy targets`.")
@click.option(
    "--backend",
    metavar="auto|NAME",
    default="auto",
    show_default=True,
    help="What executes the model on the device; auto takes the first of the target's that can.",
)
@click.option("--golden", metavar="DATA", help="Samples whose outputs are kept in the bundle; random ones without it.")
@input_shape_option("Shape of a dynamic input, for random golden samples and backends of static shapes.")
@click.option("--name", metavar="NAME", help="The model's name on devices. By default the file's.")
@click.option("--version", default="1", show_default=True, metavar="VERSION", help="The model's version on devices.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="BUNDLE",
    help="Folder to be written; or NAME.edge, one file.",
)
@common_options
def command(
    model: Path,
    target_name: str,
    backend: str,
    golden: str | None,
    input_shapes: dict[str, tuple[int, ...]],
    name: str | None,
    version: str,
    output: Path,
    out: Output,
) -> int:
    """Build MODEL into a bundle for a target: the model, its runtime, a runner, golden inputs and outputs.

    DATA is FILE.npz, a folder of .npz files, or package.module:callable.
    """
    from edgedeploy.compile.build import compile_model
    from edgedeploy.target.load import load_target

    bundle = compile_model(
        model,
        load_target(target_name),
        output,
        name=name,
        version=version,
        backend=backend,
        golden=golden,
        input_shapes=input_shapes,
        progress=out,
    )
    out.result(bundle, _table(bundle))
    return 0


def _table(bundle: Bundle) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    manifest = bundle.manifest
    source = "the model came without evidence of how it was made"
    if manifest.source:
        smaller = 1 - manifest.model.size_bytes / manifest.source.size_bytes
        source = f"{manifest.source.recipe}, {smaller:.1%} smaller than the float model"
    packages = ", ".join(f"{package} {version}" for package, version in manifest.runtime.packages.items())
    rows = {
        "bundle": str(bundle.path),
        "release": f"{manifest.name} {manifest.version}",
        "target": f"{manifest.target} ({manifest.architecture})",
        "model": f"{bytes_in_words(manifest.model.size_bytes)}, {manifest.model.parameters:,} parameters",
        "made by": source,
        "runtime": f"{packages}, for Python {manifest.runtime.python}, glibc {manifest.runtime.glibc} or newer",
        "golden": f"{manifest.golden_samples} samples",
        "size": f"{bytes_in_words(bundle.size_bytes)} in {len(manifest.files) + 1} files",
        "sha256": bundle.sha256,
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for key, value in rows.items():
        table.add_row(key, Text(value))
    return table
