"""The code that is sent to a board. It imports nothing of edgedeploy, because edgedeploy is not installed there."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def python_source(name: str) -> bytes:
    """Return a file of the runner in Python: `"runner"`, or an engine, e.g. `"engine_tflite"`."""
    return (_FOLDER / "python" / f"{name}.py").read_bytes()


def c_headers() -> Path:
    """Return the folder with the headers of the runner in C."""
    return _FOLDER / "c"


def c_sources(engine: str) -> list[Path]:
    """Return the C files of the runner with one of its engines.

    Args:
        engine: the engine's file, e.g. `"engine_ort.c"`; for any other name, the runner without an engine.
    """
    files = (_FOLDER / "c").glob("*.c")
    return sorted(file for file in files if not file.name.startswith("engine_") or file.name == engine)


def smoke_script() -> bytes:
    """Return the script that a smoke kit runs on a board without Python."""
    return (_FOLDER / "smoke.sh").read_bytes()
