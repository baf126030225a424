"""The table of scripts/bench optimize, in the terminal and as docs/bench_optimize.md."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from wild.models import Ready, facts

from benchmarks.tools import TOOLS, Settings, Tool
from edgedeploy.inference.onnxruntime import host_isa
from edgedeploy.optimize.guard.host_timing import TOLERANCE

Figures = dict[str, Any]
Results = dict[tuple[str, str], Figures]
"""By model and tool."""

_LEAST_SAVING, _MOST_DROP = 0.40, 0.01


def shortcomings(figures: Figures) -> list[str]:
    """Why a result does not count as brought through; empty when it does."""
    if figures["failure"] is not None:
        return [figures["failure"]]
    if not figures["loads"]:
        return [f"does not load: {figures['error']}"]
    if "error" in figures:
        return [figures["error"]]
    found = []
    if figures["bytes"] > (1 - _LEAST_SAVING) * figures["source_bytes"]:
        found.append("size")
    if gain(figures) < -_MOST_DROP - 1e-9:
        found.append("accuracy")
    if figures["slower"]:
        found.append("speed")
    return found


def gain(figures: Figures) -> float:
    """Of the metric, in exact arithmetic; of a model with states the worse of single windows and a stream."""
    gained: float = figures["metric_exact"] - figures["metric_float"]
    if "stream_exact" in figures:
        gained = min(gained, figures["stream_exact"] - figures["stream_float"])
    return gained


def cell(figures: Figures | None, strong: str = "**{}**") -> str:
    """One tool's result on one model, what falls short in `strong`."""
    if figures is None:
        return "—"
    short = shortcomings(figures)
    if figures["failure"] is not None or "error" in figures:
        reason = short[0]
        kind = next((word for word in ("refused", "does not load", "not done", "crashed") if word in reason), "fails")
        return strong.format(kind)
    change = figures["bytes"] / figures["source_bytes"] - 1
    parts = {
        "size": f"{change:+.0%}",
        "accuracy": f"{100 * gain(figures):+.1f}",
        "speed": f"×{figures['ratio']:.2f}",
    }
    text = " · ".join(strong.format(part) if name in short else part for name, part in parts.items())
    return text if short else f"✓ {text}"


def totals(results: Results, corpus: list[Ready], tools: Iterable[Tool]) -> dict[str, str]:
    """For each tool, how many models it brought through of those it was tried on."""
    counts = {}
    for tool in tools:
        tried = [results[ready.name, tool.name] for ready in corpus if (ready.name, tool.name) in results]
        counts[tool.name] = f"{sum(not shortcomings(figures) for figures in tried)} of {len(tried)}"
    return counts


def print_table(results: Results, corpus: list[Ready]) -> None:
    """The table in the terminal."""
    table = Table(title=f"size · metric in points · time, each against the float model; host {host_isa()}")
    for heading in ("model", *(tool.title for tool in TOOLS)):
        table.add_column(heading)
    for ready in corpus:
        row = (cell(results.get((ready.name, tool.name)), "[red]{}[/red]") for tool in TOOLS)
        table.add_row(ready.name, *row)
    table.add_section()
    counts = totals(results, corpus, TOOLS)
    table.add_row("brought through", *(counts[tool.name] for tool in TOOLS))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def document(results: Results, corpus: list[Ready], command: str, settings: Settings) -> str:
    """docs/bench_optimize.md."""
    others = [tool for tool in TOOLS if tool.name != "float"]
    counts = totals(results, corpus, others)
    lines = [
        "# Real models with edgedeploy and other tools",
        "",
        "Made by:",
        "",
        f"    {command}",
        "",
        f"on {host_isa()}, one thread. Models and data are made by",
        "`scripts/wild/models.py` from packages pinned in `scripts/wild/models.lock`; the other tools run in",
        "separate environments, pinned in `scripts/peers/`. Each tool runs in a separate process with a time",
        "limit, on the same calibration samples.",
        "",
        "A cell has three figures, each compared with the float model: size; the metric in points, in exact",
        "arithmetic (each QDQ pair computed in float); and processor time of one thread on this machine, with the",
        "two models run in turn. For models with states, the metric is the worse of two: of single windows with",
        "the float model's state, and of a recording with the model's own state.",
        "",
        f"✓ means that the model passed: the result loads, is at least {_LEAST_SAVING:.0%} smaller, "
        f"lost at most {_MOST_DROP:.0%} of the metric,",
        f"and is not slower. Slower means that the whole 95 % interval of the ratio is above "
        f"{1 + TOLERANCE:.2f}, twice. A figure",
        "that misses its goal is bold; — was not run.",
        "",
        "| model | " + " | ".join(tool.title for tool in others) + " |",
        "|---|" + "---|" * len(others),
    ]
    for ready in corpus:
        cells = (cell(results.get((ready.name, tool.name))) for tool in others)
        lines.append(f"| {ready.name} | " + " | ".join(cells) + " |")
    lines.append("| **passed** | " + " | ".join(f"**{counts[tool.name]}**" for tool in others) + " |")
    lines += ["", *_reasons(results, corpus, others, settings), *_tools_in_words(settings)]
    lines += ["", "## The models", "", *_models(results, corpus)]
    lines += ["", "## Agreement", "", *_agreement(results, corpus, others)]
    return "\n".join(lines) + "\n"


def _models(results: Results, corpus: list[Ready]) -> list[str]:
    lines = [
        "| model | what it is | package | opset | bytes | operators | judged by | samples | float |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for ready in corpus:
        found = facts(ready.path)
        came = results.get((ready.name, "float"), {})
        score = f"{came['metric_float']:.3f} |" if "metric_float" in came else "— |"
        lines.append(
            f"| {ready.name} | {ready.model.about} | {ready.model.origin} | {found.opset} | {found.size:,} | "
            f"{found.operators} | {ready.model.judged_by} | {came.get('samples', '—')} | {score}"
        )
    return lines


def _reasons(results: Results, corpus: list[Ready], tools: list[Tool], settings: Settings) -> list[str]:
    """What the results that are no figures said."""
    lines = []
    for ready in corpus:
        for tool in tools:
            figures = results.get((ready.name, tool.name))
            if figures is not None and (figures["failure"] is not None or "error" in figures):
                # Messages of onnxruntime name the file, which lies elsewhere on every machine.
                said = shortcomings(figures)[0].replace(f"{settings.folder}/results/", "")
                lines.append(f"- {ready.name}, {tool.title}: {said[:240]}")
    return ["## Messages of refusals and failures", "", *lines, ""] if lines else []


def _tools_in_words(settings: Settings) -> list[str]:
    return [
        "## The tools",
        "",
        "- onnxruntime dynamic: `quantize_dynamic` with default settings.",
        "- onnxruntime static: `quant_pre_process` if it works, then `quantize_static` in QDQ format, min-max, per "
        "channel.",
        "- Neural Compressor 2.6: static, with its own accuracy tuning (at most ten trials or 300 s) and an allowed "
        "loss of 0.01.",
        "- NNCF 3.4: `nncf.quantize` with default settings.",
        "- edgedeploy int8: `--recipe int8 --max-drop 0.01`.",
        f"- edgedeploy auto: `--recipe auto --max-drop 0.01 --objective {settings.objective} --time-budget "
        f"{settings.auto_seconds}`.",
        f"- Olive 0.13 was not run: it installs only with PyTorch and CUDA. Each tool had {settings.limit_seconds} s "
        "per model and 12 GiB of memory.",
    ]


def _agreement(results: Results, corpus: list[Ready], tools: list[Tool]) -> list[str]:
    lines = [
        "Each result is compared with the float model: the share of answers kept (if the outputs are scores), the",
        "SQNR of all outputs, and the metric with this machine's integer kernels beside the metric in exact",
        "arithmetic.",
        "",
        "| model | tool | bytes | metric exact | metric host | answers kept | SQNR dB | time (95 %) | instructions |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for ready in corpus:
        for tool in tools:
            figures = results.get((ready.name, tool.name))
            if figures is None or figures["failure"] is not None or "error" in figures:
                continue
            kept, sqnr = figures["top1_match"], figures["sqnr_db"]
            low, high = figures["ratio_interval"]
            counted = figures.get("instructions_ratio")
            lines.append(
                f"| {ready.name} | {tool.title} | {figures['bytes']:,} | {figures['metric_exact']:.4f} | "
                f"{figures['metric_host']:.4f} | {'—' if kept is None else f'{kept:.1%}'} | "
                f"{'same' if sqnr is None else f'{sqnr:.1f}'} | {figures['ratio']:.2f} ({low:.2f} … {high:.2f}) | "
                f"{'—' if counted is None else f'×{counted:.3f}'} |"
            )
    return lines
