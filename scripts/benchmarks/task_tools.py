"""The tools that scripts/bench tasks compares: the usual quantizer of the format, and edgedeploy's recipes."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasks.base import ReadyTask

from benchmarks import ROOT
from benchmarks.tools import ToolOutcome, child, with_reasons


@dataclass(frozen=True)
class TaskSettings:
    """What the tools are told."""

    folder: Path
    """For results."""
    auto_seconds: int
    limit_seconds: int
    """For each tool and task; `auto` has its budget and as much again."""
    on: str | None


@dataclass(frozen=True)
class TaskTool:
    """One column of the table."""

    name: str
    title: str
    run: Callable[[TaskSettings, ReadyTask, Path], ToolOutcome]
    version: Callable[[TaskSettings], str]
    """Changes when the tool would give another result."""


def _float(_: TaskSettings, ready: ReadyTask, out: Path) -> ToolOutcome:
    shutil.copyfile(ready.model, out)
    return ToolOutcome(0.0, None)


def _stock(way: str) -> Callable[[TaskSettings, ReadyTask, Path], ToolOutcome]:
    def run(settings: TaskSettings, ready: ReadyTask, out: Path) -> ToolOutcome:
        command: list[str | Path] = [sys.executable, "-m", "benchmarks.task_stock", way]
        command += [ready.model, ready.calibration, out]
        outcome, _ = child(command, settings.limit_seconds, ROOT / "scripts")
        if outcome.failure is None and not out.exists():
            return ToolOutcome(outcome.seconds, "ended without a result")
        return outcome

    return run


def _edgedeploy(recipe: str) -> Callable[[TaskSettings, ReadyTask, Path], ToolOutcome]:
    def run(settings: TaskSettings, ready: ReadyTask, out: Path) -> ToolOutcome:
        task = ready.task
        command: list[str | Path] = [Path(sys.executable).with_name("edgedeploy"), "optimize", ready.model]
        command += ["--recipe", recipe, "--calibration", ready.calibration, "--evaluation", ready.evaluation]
        command += ["--metric", task.metric, "--max-drop", task.max_drop, "-o", out, "--json", "--quiet"]
        command += ["--head", task.head] if task.head else []
        command += ["--on", settings.on] if settings.on else []
        limit = settings.limit_seconds
        if recipe == "auto":
            command += ["--time-budget", str(settings.auto_seconds)]
            limit += 2 * settings.auto_seconds
        outcome, output = child(command, limit, ROOT / "scripts")
        return with_reasons(outcome, output)

    return run


def _stock_version(_: TaskSettings) -> str:
    digest = hashlib.sha256((ROOT / "scripts" / "benchmarks" / "task_stock.py").read_bytes())
    for package in ("onnxruntime", "ai-edge-quantizer"):
        digest.update(importlib.metadata.version(package).encode())
    return digest.hexdigest()


def _edgedeploy_version(recipe: str) -> Callable[[TaskSettings], str]:
    def version(settings: TaskSettings) -> str:
        digest = hashlib.sha256(repr((recipe, settings.on)).encode())
        if recipe == "auto":
            digest.update(repr(settings.auto_seconds).encode())
        for path in sorted([*(ROOT / "edgedeploy" / "optimize").rglob("*.py"), *(ROOT / "quantize").glob("*.toml")]):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    return version


TASK_TOOLS: tuple[TaskTool, ...] = (
    TaskTool("float", "float", _float, lambda _: ""),
    TaskTool("dynamic", "stock dynamic", _stock("dynamic"), _stock_version),
    TaskTool("static", "stock static", _stock("static"), _stock_version),
    TaskTool("int8", "edgedeploy int8", _edgedeploy("int8"), _edgedeploy_version("int8")),
    TaskTool("auto", "edgedeploy auto", _edgedeploy("auto"), _edgedeploy_version("auto")),
)
