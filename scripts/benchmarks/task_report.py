"""The table of scripts/bench tasks, in the terminal and as docs/bench_tasks.md."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from tasks.base import ReadyTask

from benchmarks.task_tools import TASK_TOOLS, TaskTool
from edgedeploy.inference.onnxruntime import host_isa
from edgedeploy.model.inspect import inspect_model
from edgedeploy.values.metric_facts import is_share_metric, metric_facts

Figures = dict[str, Any]
Results = dict[tuple[str, str], Figures]
"""By task and tool."""

_DETECTOR_SAVING = 0.60
_DETECTORS = ("detector",)


def shortcomings(task: ReadyTask, figures: Figures) -> list[str]:
    """Why a result misses the goal: it does not load, lost more than a point, or is a detector and not 60 % smaller."""
    if figures["failure"] is not None:
        return [figures["failure"]]
    if "error" in figures:
        return [figures["error"]]
    found = []
    if loss(figures) > allowed(task, figures) + 1e-9:
        found.append("accuracy")
    saved = 1 - figures["bytes"] / figures["source_bytes"]
    if (is_detector(task) and saved < _DETECTOR_SAVING) or saved < 0:
        found.append("size")
    return found


def is_detector(task: ReadyTask) -> bool:
    return any(word in task.task.kind for word in _DETECTORS)


def loss(figures: Figures) -> float:
    """How much worse the metric got, in its own units."""
    change: float = figures["change"][0]
    return -change if figures["larger_is_better"] else change


def allowed(task: ReadyTask, figures: Figures) -> float:
    """What `--max-drop` allows, in the metric's own units."""
    text = task.task.max_drop
    if text.endswith("%"):
        return abs(float(figures["metric_float"])) * float(text[:-1]) / 100
    return float(text)


def cell(task: ReadyTask, figures: Figures | None, strong: str = "**{}**") -> str:
    """One tool's result on one task, what falls short in `strong`."""
    if figures is None:
        return "—"
    short = shortcomings(task, figures)
    if figures["failure"] is not None or "error" in figures:
        kinds = ("refused", "not done", "crashed", "does not load")
        reason = short[0] if figures.get("loads", True) else "does not load"
        return strong.format(next((word for word in kinds if word in reason), "fails"))
    value, low, high = figures["change"]
    parts = {
        "accuracy": f"{_change(task, value)} ({_change(task, low)} … {_change(task, high)})",
        "size": f"{figures['bytes'] / figures['source_bytes'] - 1:+.0%}",
        "time": f"×{figures['ratio']:.2f}",
    }
    if "instructions_ratio" in figures:
        parts["work"] = f"{figures['instructions_ratio']:.2f} of the instructions"
    text = " · ".join(strong.format(part) if name in short else part for name, part in parts.items())
    return text if short else f"✓ {text}"


def totals(results: Results, tasks: Iterable[ReadyTask], tool: TaskTool) -> str:
    """On how many tasks with labels of their own a tool met the goal, of those it was tried on."""
    tried = [
        (task, results[task.name, tool.name])
        for task in tasks
        if (task.name, tool.name) in results and not task.task.labels_are_its_own
    ]
    return f"{sum(not shortcomings(task, figures) for task, figures in tried)} of {len(tried)}"


def print_table(results: Results, tasks: list[ReadyTask]) -> None:
    """The table in the terminal."""
    others = _others()
    table = Table(title=f"metric · size · time, each against the float model; host {host_isa()}")
    for heading in ("task", "metric, float", *(tool.title for tool in others)):
        table.add_column(heading)
    for task in tasks:
        row = (cell(task, results.get((task.name, tool.name)), "[red]{}[/red]") for tool in others)
        table.add_row(task.name, _float(results, task), *row)
    table.add_section()
    table.add_row("goal met", "", *(totals(results, tasks, tool) for tool in others))
    Console(width=None if sys.stdout.isatty() else 220).print(table)


def document(results: Results, tasks: list[ReadyTask], command: str) -> str:
    """docs/bench_tasks.md."""
    others = _others()
    honest = [task for task in tasks if not task.task.labels_are_its_own]
    own = [task for task in tasks if task.task.labels_are_its_own]
    lines = [
        "# Real models of ten tasks",
        "",
        "Made by:",
        "",
        f"    {command}",
        "",
        f"on {host_isa()}, one thread. The models come from packages that",
        "`scripts/tasks/packages.lock` pins, or are trained by `scripts/tasks/training` on data that such packages",
        "ship. Data is in files as people have them, read and prepared as a `data.toml` declares. «Stock» is",
        "onnxruntime's own quantization, and ai-edge-quantizer for `.tflite`, each as its documentation shows it.",
        "",
        "A cell has the change of the metric with its 95 % interval (paired bootstrap; of shares in points, else in",
        "the metric's own units); the size of the file; and processor time of one thread on this machine, the two",
        "models run in turn, which says little about a board. The metric is computed in exact arithmetic.",
        "",
        "✓ means that the goal is met: the result loads, lost at most one point (of errors and dB: one per cent), is",
        f"not larger, and of detectors is at least {_DETECTOR_SAVING:.0%} smaller. What misses it is bold;",
        "— was not run.",
        "edgedeploy writes no file that misses the accuracy, is larger or slower: it refuses and says why.",
        "",
        *_table(results, honest, others),
        "| **goal met** | | | " + " | ".join(f"**{totals(results, tasks, tool)}**" for tool in others) + " |",
        "",
    ]
    if own:
        lines += [
            "These models have no labels but the float model's own answers, which says less. They are not counted:",
            "",
            *_table(results, own, others),
            "",
        ]
    lines += [*_reasons(results, tasks, others), "## The tasks", "", *_tasks(results, tasks)]
    return "\n".join(lines) + "\n"


def _table(results: Results, tasks: list[ReadyTask], tools: list[TaskTool]) -> list[str]:
    lines = [
        "| task | kind | metric, float | " + " | ".join(tool.title for tool in tools) + " |",
        "|---|---|---|" + "---|" * len(tools),
    ]
    for task in tasks:
        cells = (cell(task, results.get((task.name, tool.name))) for tool in tools)
        lines.append(f"| {task.name} | {task.task.kind} | {_float(results, task)} | " + " | ".join(cells) + " |")
    return lines


def _tasks(results: Results, tasks: list[ReadyTask]) -> list[str]:
    lines = [
        "| task | what it is | from | bytes | MACs | judged by | samples |",
        "|---|---|---|---:|---:|---|---:|",
    ]
    for task in tasks:
        facts = inspect_model(task.model)
        macs = f"{facts.macs:,}" if facts.macs is not None else "unknown"
        samples = results.get((task.name, "float"), {}).get("samples", "—")
        lines.append(
            f"| {task.name} | {task.task.about} | {task.task.origin} | {facts.size_bytes:,} | {macs} | "
            f"{task.task.judged_by} | {samples} |"
        )
    return lines


def _reasons(results: Results, tasks: list[ReadyTask], tools: list[TaskTool]) -> list[str]:
    """What the results that are no figures said."""
    lines = []
    for task in tasks:
        for tool in tools:
            figures = results.get((task.name, tool.name))
            if figures is not None and (figures["failure"] is not None or "error" in figures):
                # Messages name the file, which lies elsewhere on every machine.
                said = " ".join(shortcomings(task, figures)[0].split()).replace(str(task.folder.parent), "…")
                lines.append(f"- {task.name}, {tool.title}: {said[:240]}")
    return ["## Messages of refusals and failures", "", *lines, ""] if lines else []


def _others() -> list[TaskTool]:
    return [tool for tool in TASK_TOOLS if tool.name != "float"]


def _float(results: Results, task: ReadyTask) -> str:
    """The float model's metric with its interval, and which way is better."""
    figures = next(
        (found for tool in TASK_TOOLS if "metric_float" in (found := results.get((task.name, tool.name), {}))),
        None,
    )
    known = metric_facts(task.task.metric)
    arrow = " ↓" if known is not None and not known.larger_is_better else ""
    if figures is None:
        return f"{task.task.metric}{arrow}"
    low, high = figures["interval_float"]
    return f"{task.task.metric}{arrow} {figures['metric_float']:.3f} ({low:.3f} … {high:.3f})"


def _change(task: ReadyTask, value: float) -> str:
    return f"{100 * value:+.1f}" if is_share_metric(task.task.metric) else f"{value:+.3f}"
