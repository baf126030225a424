"""The code that is sent to a board. It imports nothing of edgedeploy, because edgedeploy is not installed there."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent
_PACKAGE = "edgedeploy_runner"
"""The folder in a bundle: `start.py` imports from it."""
_MODULES = ("__init__", "channel", "device", "health", "loop", "release", "runner")


def python_files(engine: str) -> dict[str, bytes]:
    """Return the runner in Python as files of a bundle: their paths and contents. `runner.py` starts it.

    Args:
        engine: the runtime's, e.g. `"tflite"` for `engine_tflite.py`.
    """
    folder = _FOLDER / "python"
    modules = {f"{_PACKAGE}/{name}.py": (folder / f"{name}.py").read_bytes() for name in _MODULES}
    start, of_engine = (folder / f"{name}.py" for name in ("start", f"engine_{engine}"))
    return {"runner.py": start.read_bytes(), "engine.py": of_engine.read_bytes(), **modules}


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
