"""Compare edgedeploy with other tools on real models: what comes out smaller, as good and not slower.

Usage: scripts/bench optimize [--models NAME,NAME] [--tools NAME,NAME] [--quick] [--on board:NAME] …

Prints a table of models and tools; its last line says how many models each tool brought through. A run over all models
also writes docs/bench_optimize.md. Raw figures stand in FOLDER/results, one JSON for each model and tool, and in
FOLDER/results.json. What is there and was made from the same model, data and tool is not made again (--again does);
of tools that --tools leaves out, it is shown.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from wild.catalogue import CATALOGUE
from wild.models import DEFAULT_FOLDER, Ready, models

from benchmarks import ROOT
from benchmarks.report import Figures, Results, document, print_table
from benchmarks.tools import TOOLS, Settings, Tool, chosen_names
from edgedeploy.inference.onnxruntime import host_isa

_QUICK_MODELS = ("ocr-direction", "silero-vad-16k-op15", "magika", "squeezenet")
_QUICK_SAMPLES = 100
_JUDGE_SECONDS = 900
_DOCUMENT = ROOT / "docs" / "bench_optimize.md"


def known(settings: Settings, ready: Ready, tool: Tool, limit: int | None) -> Figures | None:
    """The figures of `tool` on one model from an earlier run; None when there are none or they are no longer true."""
    record = _place(settings, ready) / f"{tool.name}.json"
    if not record.exists():
        return None
    figures: Figures = json.loads(record.read_text(encoding="utf-8"))
    # What was judged on all samples is not judged again on fewer.
    valid = {_made_from(settings, ready, tool, samples) for samples in (limit, None)}
    return figures if figures["made_from"] in valid else None


def measured(settings: Settings, ready: Ready, tool: Tool, limit: int | None) -> Figures:
    """The figures of `tool` on one model, made now."""
    place = _place(settings, ready)
    place.mkdir(parents=True, exist_ok=True)
    made_from = _made_from(settings, ready, tool, limit)
    out = place / f"{tool.name}.onnx"
    print(f"{ready.name}: {tool.title} …", file=sys.stderr, flush=True)
    # A search would go on where an earlier one, perhaps of other code, was stopped.
    for left in place.glob(f"{out.name}*"):
        left.unlink()
    outcome = tool.run(settings, ready, out)
    figures: Figures = {
        "made_from": made_from,
        "seconds": round(outcome.seconds, 1),
        "failure": outcome.failure,
        "note": outcome.note,
        "source_bytes": ready.path.stat().st_size,
    }
    if outcome.failure is None:
        # External data, if a tool wrote any, belongs to the model.
        files = [out, *place.glob(f"{out.name}.data"), *place.glob(f"{out.name}_data")]
        figures["bytes"] = sum(path.stat().st_size for path in files)
        figures |= _judged(settings, ready, out, limit)
    text = json.dumps(figures, indent=1) + "\n"
    (place / f"{tool.name}.json").write_text(text, encoding="utf-8")
    return figures


def _place(settings: Settings, ready: Ready) -> Path:
    return settings.folder / "results" / ready.name


def _judged(settings: Settings, ready: Ready, out: Path, limit: int | None) -> Figures:
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.judge", ready.path, out]
    command += [ready.evaluation, ready.metric]
    command += ["--limit", str(limit)] if limit else []
    command += ["--stream", ready.stream] if ready.stream else []
    command += ["--on", settings.on] if settings.on else []
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_JUDGE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {"loads": True, "error": f"does not come through the evaluation data in {_JUDGE_SECONDS} s"}
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {"loads": False, "error": f"crashed while it was judged: {last[:200]}"}
    figures: Figures = json.loads(done.stdout)
    return figures


def _made_from(settings: Settings, ready: Ready, tool: Tool, limit: int | None) -> str:
    digest = hashlib.sha256(repr((tool.version(settings), ready.metric, limit, settings.on)).encode())
    judges = [ROOT / "scripts" / name for name in ("benchmarks/judge.py", "wild/metrics.py")]
    data = (ready.path, ready.calibration, ready.evaluation, *([ready.stream] if ready.stream else []))
    for path in (*data, *judges):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench optimize", description=(__doc__ or "").splitlines()[0])
    all_models, all_tools = [model.name for model in CATALOGUE], [tool.name for tool in TOOLS]
    parser.add_argument("--models", metavar="NAME,NAME", help=f"of {', '.join(all_models)}")
    parser.add_argument("--tools", metavar="NAME,NAME", help=f"of {', '.join(all_tools)}")
    parser.add_argument("--quick", action="store_true", help="four models, 100 samples, one minute for auto")
    parser.add_argument("--samples", type=int, metavar="N", help="judge on the first N evaluation samples only")
    parser.add_argument("--on", metavar="board:NAME", help="count instructions on this emulated board too")
    parser.add_argument("--objective", default="balanced", choices=("size", "speed", "balanced"), help="of auto")
    parser.add_argument("--auto-seconds", type=int, default=300, metavar="SECONDS", help="budget of auto (300)")
    parser.add_argument("--limit", type=int, default=600, metavar="SECONDS", help="for each tool and model (600)")
    parser.add_argument("--again", action="store_true", help="do not take over results of earlier runs")
    parser.add_argument("--show", action="store_true", help="run no tool, only show what earlier runs left")
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="for models, data and results")
    arguments = parser.parse_args()
    chosen_models = arguments.models or (",".join(_QUICK_MODELS) if arguments.quick else None)
    corpus = models(arguments.folder, chosen_names(chosen_models, all_models, parser))
    names = chosen_names(arguments.tools, all_tools, parser)
    tools = [tool for tool in TOOLS if tool.name in names and not arguments.show]
    settings = Settings(
        folder=arguments.folder.resolve(),
        objective=arguments.objective,
        auto_seconds=60 if arguments.quick else arguments.auto_seconds,
        limit_seconds=arguments.limit,
        on=arguments.on,
    )
    limit = arguments.samples or (_QUICK_SAMPLES if arguments.quick else None)
    results: Results = {}
    for ready in corpus:
        for tool in TOOLS:
            figures = None if arguments.again and tool in tools else known(settings, ready, tool, limit)
            if figures is None and tool in tools:
                figures = measured(settings, ready, tool, limit)
            if figures is not None:
                results[ready.name, tool.name] = figures
    raw = [{"model": model, "tool": tool, **figures} for (model, tool), figures in results.items()]
    text = json.dumps({"host": host_isa(), "results": raw}, indent=1) + "\n"
    (settings.folder / "results.json").write_text(text, encoding="utf-8")
    print_table(results, corpus)
    if len(corpus) == len(CATALOGUE) and not arguments.quick:
        command = "scripts/bench optimize" + (f" --samples {limit}" if limit else "")
        command += f" --objective {settings.objective} --auto-seconds {settings.auto_seconds}"
        command += f" --on {settings.on}" if settings.on else ""
        _DOCUMENT.write_text(document(results, corpus, command, settings), encoding="utf-8")
        print(_DOCUMENT)


if __name__ == "__main__":
    main()
