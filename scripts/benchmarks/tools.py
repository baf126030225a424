"""The tools that scripts/bench optimize compares, each in a child process with limits on time and memory."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wild.models import Ready

from benchmarks import ROOT

_PEERS = ROOT / "scripts" / "peers"
_MEMORY_BYTES = 12 << 30


@dataclass(frozen=True)
class Settings:
    """What the tools are told."""

    folder: Path
    """For environments and results."""
    objective: str
    auto_seconds: int
    limit_seconds: int
    """For each tool and model; `auto` has its budget and as much again."""
    on: str | None


@dataclass(frozen=True)
class ToolOutcome:
    """What became of one call."""

    seconds: float
    failure: str | None
    """Why there is no result; None when there is one."""
    note: str = ""


@dataclass(frozen=True)
class Tool:
    """One column of the table."""

    name: str
    title: str
    run: Callable[[Settings, Ready, Path], ToolOutcome]
    version: Callable[[Settings], str]
    """Changes when the tool would give another result."""


def child(command: list[str | Path], limit_seconds: float, scratch: Path) -> tuple[ToolOutcome, str]:
    """Run `command` in `scratch`; what became of it, and its standard output."""
    began = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=scratch,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES)),
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            output, errors = process.communicate(timeout=limit_seconds)
        except subprocess.TimeoutExpired:
            # The whole group: tools start processes of their own.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return ToolOutcome(time.monotonic() - began, f"not done after {limit_seconds:.0f} s"), ""
    seconds = time.monotonic() - began
    if process.returncode < 0:
        return ToolOutcome(seconds, f"crashed ({signal.Signals(-process.returncode).name})"), output
    if process.returncode > 0:
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        return ToolOutcome(seconds, lines[-1][:300] if lines else f"exit code {process.returncode}"), output
    return ToolOutcome(seconds, None, output.strip().splitlines()[-1][:300] if output.strip() else ""), output


def _float(_: Settings, ready: Ready, out: Path) -> ToolOutcome:
    shutil.copyfile(ready.path, out)
    return ToolOutcome(0.0, None)


def _peer(script: str, *options: str, environment: str | None = None) -> Callable[[Settings, Ready, Path], ToolOutcome]:
    def run(settings: Settings, ready: Ready, out: Path) -> ToolOutcome:
        python = Path(sys.executable) if environment is None else peer_environment(settings.folder, environment)
        command: list[str | Path] = [python, _PEERS / script, *options]
        command += [ready.path, ready.calibration, ready.evaluation, ready.metric, out]
        scratch = out.parent / f"scratch-{out.stem}"
        scratch.mkdir(exist_ok=True)
        try:
            outcome, _ = child(command, settings.limit_seconds, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if outcome.failure is None and not out.exists():
            return ToolOutcome(outcome.seconds, "ended without a result")
        return outcome

    return run


def _edgedeploy(recipe: str) -> Callable[[Settings, Ready, Path], ToolOutcome]:
    def run(settings: Settings, ready: Ready, out: Path) -> ToolOutcome:
        command: list[str | Path] = [Path(sys.executable).with_name("edgedeploy"), "optimize", ready.path]
        command += ["--recipe", recipe, "--calibration", ready.calibration, "--evaluation", ready.evaluation]
        command += ["--metric", ready.metric, "--max-drop", "0.01", "-o", out, "--json", "--quiet"]
        command += ["--on", settings.on] if settings.on else []
        limit = settings.limit_seconds
        if recipe == "auto":
            command += ["--objective", settings.objective, "--time-budget", str(settings.auto_seconds)]
            limit = 2 * settings.auto_seconds + limit
        outcome, output = child(command, limit, ROOT)
        return with_reasons(outcome, output)

    return run


def with_reasons(outcome: ToolOutcome, output: str) -> ToolOutcome:
    """The outcome of `edgedeploy optimize --json`, with the reasons that its evidence gives."""
    try:
        evidence = json.loads(output)
    except json.JSONDecodeError:
        return outcome
    said = "; ".join(evidence.get("reasons", ()))
    if outcome.failure is None:
        return ToolOutcome(outcome.seconds, None, said)
    return ToolOutcome(outcome.seconds, f"refused: {said}" if said else outcome.failure)


def chosen_names(text: str | None, known: list[str], parser: argparse.ArgumentParser) -> list[str]:
    """The names in a list with commas, all where none is given; the parser ends with what it does not know."""
    names = text.split(",") if text else known
    for name in names:
        if name not in known:
            parser.error(f"no {name!r}; there are {', '.join(known)}")
    return names


def peer_environment(folder: Path, name: str) -> Path:
    """The Python of the environment that `scripts/peers/NAME.lock` pins, made when it is not there."""
    place = folder.resolve() / "environments" / name
    lock = _PEERS / f"{name}.lock"
    made_from = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = place / "made-from"
    if not (stamp.exists() and stamp.read_text(encoding="utf-8") == made_from):
        print(f"installing {name} …", file=sys.stderr)
        shutil.rmtree(place, ignore_errors=True)
        uv = Path(sys.executable).with_name("uv")
        environment = {**os.environ, "VIRTUAL_ENV": str(place)}
        if Path("/etc/ssl/certs/ca-certificates.crt").exists():
            environment.setdefault("UV_SYSTEM_CERTS", "true")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, place], check=True)
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", lock], check=True, env=environment
        )
        stamp.write_text(made_from, encoding="utf-8")
    return place / "bin" / "python"


def _file_version(*paths: Path) -> Callable[[Settings], str]:
    def version(_: Settings) -> str:
        digest = hashlib.sha256(importlib.metadata.version("onnxruntime").encode())
        for path in (_PEERS / "feeds.py", *paths):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    return version


def _edgedeploy_version(recipe: str) -> Callable[[Settings], str]:
    def version(settings: Settings) -> str:
        digest = hashlib.sha256(repr((recipe, settings.on)).encode())
        if recipe == "auto":
            digest.update(repr((settings.objective, settings.auto_seconds)).encode())
        for path in sorted([*(ROOT / "edgedeploy" / "optimize").rglob("*.py"), *(ROOT / "quantize").glob("*.toml")]):
            digest.update(path.read_bytes())
        return digest.hexdigest()

    return version


TOOLS: tuple[Tool, ...] = (
    Tool("float", "as it came", _float, lambda _: ""),
    Tool(
        "ort-dynamic",
        "onnxruntime dynamic",
        _peer("stock_onnxruntime.py", "dynamic"),
        _file_version(_PEERS / "stock_onnxruntime.py"),
    ),
    Tool(
        "ort-static",
        "onnxruntime static",
        _peer("stock_onnxruntime.py", "static"),
        _file_version(_PEERS / "stock_onnxruntime.py"),
    ),
    Tool(
        "inc",
        "Neural Compressor 2.6",
        _peer("inc.py", environment="inc"),
        _file_version(_PEERS / "inc.py", _PEERS / "inc.lock"),
    ),
    Tool(
        "nncf",
        "NNCF 3.4",
        _peer("nncf_static.py", environment="nncf"),
        _file_version(_PEERS / "nncf_static.py", _PEERS / "nncf.lock"),
    ),
    Tool("int8", "edgedeploy int8", _edgedeploy("int8"), _edgedeploy_version("int8")),
    Tool("auto", "edgedeploy auto", _edgedeploy("auto"), _edgedeploy_version("auto")),
)
