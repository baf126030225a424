"""Try edgedeploy and the usual quantizers on real models of ten kinds, each by the metric of its field.

Usage: scripts/bench tasks [--tasks NAME,NAME] [--tools NAME,NAME] [--auto-seconds N] [--on board:NAME] …

Prints a table of tasks and tools. A run over all tasks also writes docs/bench_tasks.md. Raw figures stand in
FOLDER/results, one JSON for each task and tool, and in FOLDER/results.json. What is there and was made from the same
model, data and tool is not made again (--again does). The first run fetches some gigabytes and trains six models, which
takes half an hour on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

from tasks.base import ReadyTask
from tasks.catalogue import catalogue, ready

from benchmarks import ROOT
from benchmarks.task_report import Figures, Results, document, print_table
from benchmarks.task_tools import TASK_TOOLS, TaskSettings, TaskTool
from benchmarks.tools import child, chosen_names
from edgedeploy.inference.onnxruntime import host_isa

_DEFAULT_FOLDER = ROOT / ".venv" / "bench-tasks"
_DOCUMENT = ROOT / "docs" / "bench_tasks.md"
_JUDGE_SECONDS = 900


def known(settings: TaskSettings, task: ReadyTask, tool: TaskTool) -> Figures | None:
    """The figures of `tool` on one task from an earlier run; None when there are none or they are no longer true."""
    record = settings.folder / "results" / task.name / f"{tool.name}.json"
    if not record.exists():
        return None
    figures: Figures = json.loads(record.read_text(encoding="utf-8"))
    return figures if figures["made_from"] == _made_from(settings, task, tool) else None


def measured(settings: TaskSettings, task: ReadyTask, tool: TaskTool) -> Figures:
    """The figures of `tool` on one task, made now."""
    place = settings.folder / "results" / task.name
    place.mkdir(parents=True, exist_ok=True)
    out = place / f"{tool.name}{task.model.suffix}"
    print(f"{task.name}: {tool.title} …", file=sys.stderr, flush=True)
    # A search would go on where an earlier one, perhaps of other code, was stopped.
    for left in place.glob(f"{out.name}*"):
        left.unlink()
    outcome = tool.run(settings, task, out)
    figures: Figures = {
        "made_from": _made_from(settings, task, tool),
        "seconds": round(outcome.seconds, 1),
        "failure": outcome.failure,
        "note": outcome.note,
        "source_bytes": task.model.stat().st_size,
    }
    if outcome.failure is None:
        # External data, if a tool wrote any, belongs to the model.
        files = [out, *place.glob(f"{out.name}.data"), *place.glob(f"{out.name}_data")]
        figures["bytes"] = sum(path.stat().st_size for path in files)
        figures |= _judged(settings, task, out)
    text = json.dumps(figures, indent=1) + "\n"
    (place / f"{tool.name}.json").write_text(text, encoding="utf-8")
    return figures


def _judged(settings: TaskSettings, task: ReadyTask, out: Path) -> Figures:
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.task_judge"]
    command += [task.model, out, task.evaluation, task.task.metric]
    command += ["--head", task.task.head] if task.task.head else []
    command += ["--on", settings.on] if settings.on else []
    outcome, output = child(command, _JUDGE_SECONDS, ROOT / "scripts")
    if outcome.failure is not None:
        return {"loads": False, "error": f"while it was judged: {outcome.failure}"}
    figures: Figures = json.loads(output.strip().splitlines()[-1])
    return figures


def _made_from(settings: TaskSettings, task: ReadyTask, tool: TaskTool) -> str:
    digest = hashlib.sha256(repr((tool.version(settings), task.task.metric, task.task.max_drop, settings.on)).encode())
    digest.update((task.folder / "made-from").read_bytes())
    digest.update(task.model.read_bytes())
    judges = [Path(__file__).with_name("task_judge.py")]
    for folder in ("metrics", "datasets"):
        judges += sorted((ROOT / "edgedeploy" / folder).rglob("*.py"))
    for path in judges:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench tasks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    all_tasks, all_tools = [task.name for task in catalogue()], [tool.name for tool in TASK_TOOLS]
    parser.add_argument("--tasks", metavar="NAME,NAME", help=f"of {', '.join(all_tasks)}")
    parser.add_argument("--tools", metavar="NAME,NAME", help=f"of {', '.join(all_tools)}")
    parser.add_argument("--on", metavar="board:NAME", help="count instructions on this emulated board too")
    parser.add_argument("--auto-seconds", type=int, default=120, metavar="SECONDS", help="budget of auto (120)")
    parser.add_argument("--limit", type=int, default=600, metavar="SECONDS", help="for each tool and task (600)")
    parser.add_argument("--again", action="store_true", help="do not take over results of earlier runs")
    parser.add_argument("--show", action="store_true", help="run no tool, only show what earlier runs left")
    parser.add_argument("--prepare", action="store_true", help="only make the models and their data")
    parser.add_argument("--folder", type=Path, default=_DEFAULT_FOLDER, help="for models, data and results")
    arguments = parser.parse_args()
    tasks = ready(arguments.folder, chosen_names(arguments.tasks, all_tasks, parser))
    if arguments.prepare:
        print(*(task.folder for task in tasks), sep="\n")
        return
    names = chosen_names(arguments.tools, all_tools, parser)
    tools = [tool for tool in TASK_TOOLS if tool.name in names and not arguments.show]
    settings = TaskSettings(arguments.folder.resolve(), arguments.auto_seconds, arguments.limit, arguments.on)
    results: Results = {}
    for task in tasks:
        for tool in TASK_TOOLS:
            figures = None if arguments.again and tool in tools else known(settings, task, tool)
            if figures is None and tool in tools:
                figures = measured(settings, task, tool)
            if figures is not None:
                results[task.name, tool.name] = figures
    raw = [{"task": task, "tool": tool, **figures} for (task, tool), figures in results.items()]
    text = json.dumps({"host": host_isa(), "results": raw}, indent=1) + "\n"
    (settings.folder / "results.json").write_text(text, encoding="utf-8")
    print_table(results, tasks)
    if len(tasks) == len(all_tasks) and not arguments.tools:
        command = f"scripts/bench tasks --auto-seconds {settings.auto_seconds}"
        command += f" --on {settings.on}" if settings.on else ""
        _DOCUMENT.write_text(document(results, tasks, command), encoding="utf-8")
        print(_DOCUMENT)


if __name__ == "__main__":
    main()
