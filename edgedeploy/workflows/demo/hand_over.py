"""What the demo is handed over: a trained model, labeled data and a contract.

The model comes out of a package by its name, pinned with its hash; so do the fonts and the library that the data is
drawn with. None of them is among edgedeploy's own dependencies.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from edgedeploy.compile.dependencies.installers import install_here
from edgedeploy.foundation.errors import HostError
from edgedeploy.foundation.files import cache_folder, replacing_file, replacing_folder, unwritable
from edgedeploy.foundation.locks import exclusive
from edgedeploy.foundation.programs import completed, last_lines
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.foundation.reading import PINNED, read_file

_HERE = Path(__file__).parent
_LOCK = _HERE / "demo.lock"
_CONTRACT = _HERE / "contract.toml"
_DRAWING = _HERE / "text_lines.py"
_MODEL_IN_PACKAGES = Path("rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx")
_MODEL = "text-direction.onnx"
_DATA = ("evaluation.npz", "calibration.npz")
_MADE_FROM = ".made-from"
"""In the folder of the hand-over: what the data was drawn with."""
_DRAWING_TIMEOUT_S = 600.0


def demo_hand_over(folder: Path, progress: Progress = SILENT) -> Path:
    """Put the model, the data and the contract of the demo into a folder.

    Data that is there and was drawn with the same packages stays; all else is written anew.

    Args:
        folder: is made if it is not there.

    Returns:
        The contract's path.

    Raises:
        HostError: the packages cannot be fetched, or the folder cannot be written.
        UnsupportedError: there are no packages for this machine.
        IntegrityError: the packages are not the ones that were locked.
        BusyError: another edgedeploy has been fetching them for ten minutes.
    """
    packages = _packages(progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    for source, name in ((packages / _MODEL_IN_PACKAGES, _MODEL), (_CONTRACT, "contract.toml")):
        with replacing_file(folder / name) as temporary:
            shutil.copyfile(source, temporary)
    made_from = hashlib.sha256(read_file(_LOCK, PINNED) + read_file(_DRAWING, PINNED)).hexdigest()
    if _is_drawn(folder, made_from):
        return folder / "contract.toml"
    progress.step("drawing labeled lines of text")
    _draw(packages, folder)
    with replacing_file(folder / _MADE_FROM) as temporary:
        temporary.write_text(made_from, encoding="ascii")
    return folder / "contract.toml"


def _packages(progress: Progress) -> Path:
    """Return the folder with the demo's packages, which is filled on first use."""
    key = hashlib.sha256(f"{sys.implementation.cache_tag}\n".encode() + read_file(_LOCK, PINNED)).hexdigest()[:32]
    place = cache_folder() / "demo" / key
    with exclusive(place, "fetching the demo's packages", progress):
        if not place.is_dir():
            progress.step("fetching the demo's model, and fonts to draw its data in")
            with replacing_folder(place) as temporary:
                install_here(_LOCK, temporary, "the demo's packages")
    return place


def _is_drawn(folder: Path, made_from: str) -> bool:
    try:
        noted = read_file(folder / _MADE_FROM, PINNED).decode(errors="replace")
    except OSError:
        return False
    return noted == made_from and all((folder / name).is_file() for name in _DATA)


def _draw(packages: Path, folder: Path) -> None:
    """Draw in a process of its own: the packages are none of edgedeploy's."""
    (folder / _MADE_FROM).unlink(missing_ok=True)
    done = completed(
        [sys.executable, str(_DRAWING), str(folder)],
        env={**os.environ, "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"},
        timeout_s=_DRAWING_TIMEOUT_S,
    )
    if done.returncode:
        raise HostError("the demo's data cannot be drawn", why=last_lines(done.stderr.encode()))
