"""The tasks, and their files on disk."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from tasks.base import BenchTask, ReadyTask
from tasks.workshop import Workshop

_HERE = Path(__file__).parent
_NAMES = (
    ("characters", "TASK"),
    ("digits", "RAW"),
    ("digits", "NMS"),
    ("faces", "TASK"),
    ("text_areas", "TASK"),
    ("paper", "TASK"),
    ("wake_word", "TASK"),
    ("spoken_digits", "TASK"),
    ("sentences", "TASK"),
    ("languages", "TASK"),
    ("temperatures", "TASK"),
    ("super_resolution", "TASK"),
)
_LIBRARIES = ("numpy", "onnx", "pillow", "scikit-learn", "soundfile", "tokenizers")
"""That draw, cut and encode what is made."""


def catalogue() -> tuple[BenchTask, ...]:
    """List the tasks in the order of the table."""
    return tuple(getattr(importlib.import_module(f"tasks.{module}"), name) for module, name in _NAMES)


def ready(folder: Path, names: Iterable[str]) -> list[ReadyTask]:
    """Return the tasks of these names, in the order of the table; files that are missing or out of date are made.

    Raises:
        subprocess.CalledProcessError: packages cannot be installed, or a training failed.
    """
    workshop = Workshop(folder)
    chosen = set(names)
    return [_ready(workshop, task) for task in catalogue() if task.name in chosen]


def _ready(workshop: Workshop, task: BenchTask) -> ReadyTask:
    found = ReadyTask(task, workshop.folder / task.name)
    stamp = found.folder / "made-from"
    made_from = _made_from(task)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_from:
        return found
    print(f"making {task.name} …", file=sys.stderr)
    shutil.rmtree(found.folder, ignore_errors=True)
    found.folder.mkdir(parents=True)
    task.prepare(workshop, found.folder)
    stamp.write_text(made_from, encoding="utf-8")
    return found


def _made_from(task: BenchTask) -> str:
    """Changes when what is made would."""
    digest = hashlib.sha256()
    module = Path(sys.modules[task.prepare.__module__].__file__ or "")
    sources = [module, _HERE / "files.py", _HERE / "workshop.py", _HERE / "packages.lock"]
    for path in (*sources, *sorted((_HERE / "training").glob("*.py")), _HERE.parent / "wild" / "sounds.py"):
        digest.update(path.read_bytes())
    for package in _LIBRARIES:
        digest.update(importlib.metadata.version(package).encode())
    return digest.hexdigest()
