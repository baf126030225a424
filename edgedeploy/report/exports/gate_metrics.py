"""A gate's figures as OpenMetrics text, which GitLab shows beside those of the target branch.

https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from __future__ import annotations

from collections.abc import Callable

from edgedeploy.values.gate import Gate, GateCell

_FIGURES: dict[str, tuple[str, Callable[[GateCell], float | None]]] = {
    "edgedeploy_holds": ("1 if the contract holds and nothing became worse", lambda cell: float(cell.state == "holds")),
    "edgedeploy_instructions": (
        "Guest instructions of one inference: work, no latency",
        lambda cell: cell.instructions,
    ),
    "edgedeploy_model_size_bytes": ("Size of the model file", lambda cell: cell.model_size_bytes),
    "edgedeploy_accuracy": (
        "The metric of the contract, on the board",
        lambda cell: cell.metric.value if cell.metric else None,
    ),
}


def gate_metrics(gate: Gate) -> str:
    """A gauge for each figure, with a line for each contract on each target that has it."""
    lines: list[str] = []
    for name, (help_text, figure) in _FIGURES.items():
        found = [(cell, figure(cell)) for cell in gate.cells if cell.state != "not run"]
        samples = [f"{name}{_labels(cell)} {value:.12g}" for cell, value in found if value is not None]
        if samples:
            lines += [f"# TYPE {name} gauge", f"# HELP {name} {help_text}", *samples]
    return "\n".join((*lines, "# EOF", ""))


def _labels(cell: GateCell) -> str:
    labels = {"model": cell.name or cell.contract, "target": cell.target}
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
