"""`edgedeploy inspect`: show the facts of a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.input_shapes import input_shape_option
from edgedeploy.cli.output import Output, common_options
from edgedeploy.foundation.units import bytes_in_words

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgedeploy.values.model import ModelFacts, TensorFacts


@click.command(
    name="inspect",
    epilog=examples(
        "edgedeploy inspect model.onnx",
        "edgedeploy inspect model.onnx --input-shape x=1x3x48x192",
    ),
)
@click.argument("model", type=click.Path(path_type=Path))
@input_shape_option("Shape of a dynamic input, for counting MACs.")
@common_options
def command(model: Path, input_shapes: dict[str, tuple[int, ...]], out: Output) -> int:
    """Show the format, opset, inputs, outputs, parameters, MACs, bytes and operators of MODEL."""
    from edgedeploy import api

    facts = api.inspect(model, input_shapes=input_shapes)
    out.result(facts, _table(model, facts))
    return 0


def _table(model: Path, facts: ModelFacts) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    rows = {
        "model": str(model),
        "format": facts.format
        + (f", opset {facts.opset}" if facts.opset else "")
        + (f", from {facts.producer}" if facts.producer else ""),
        "size": f"{bytes_in_words(facts.size_bytes)} ({facts.size_bytes:,} bytes)",
        "sha256": facts.sha256,
        "inputs": "\n".join(_tensor(tensor) for tensor in facts.inputs) or "none",
        "outputs": "\n".join(_tensor(tensor) for tensor in facts.outputs) or "none",
        "parameters": f"{facts.parameters:,}",
        "MACs": f"{facts.macs:,} ({facts.macs_note})" if facts.macs is not None else f"unknown: {facts.macs_note}",
        "operators": _operators(facts),
    }
    if facts.notes:
        rows["notes"] = "\n".join(facts.notes)
    for key, value in rows.items():
        # As text, not markup: names come from the file.
        table.add_row(key, Text(value))
    return table


def _operators(facts: ModelFacts) -> str:
    # Constants do no work, and there may be many.
    ordered = sorted(facts.operators.items(), key=lambda counted: counted[0] == "Constant")
    return ", ".join(f"{number} {name}" for name, number in ordered) or "none"


def _tensor(tensor: TensorFacts) -> str:
    return f"{tensor.name}: {tensor.dtype} ({', '.join(map(str, tensor.shape))})"
