"""What the tasks are made with: pinned packages, photographs, a voice, and an environment to train in."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

_HERE = Path(__file__).parent
_TRAINING = _HERE / "training"

_LEARNED = ("astronaut.png", "coffee.png", "motorcycle_left.png", "retina.jpg", "hubble_deep_field.jpg", "grass.png")
_JUDGED = ("chelsea.png", "rocket.jpg", "ihc.png", "gravel.png")
"""scikit-image's photographs, in two parts with nothing in common."""


class Workshop:
    """Everything that is fetched or trained is kept in one folder, with what it was made from beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @functools.cached_property
    def packages(self) -> Path:
        """The packages that `scripts/tasks/packages.lock` pins, without what they depend on."""
        place = self.folder / "packages"
        options = "--no-deps --only-binary :all: --python-version 3.11".split()
        _install(_HERE / "packages.lock", place, [*options, "--python", sys.executable, "--target", str(place)])
        return place

    @functools.cached_property
    def torch(self) -> Path:
        """The Python that trains."""
        place = self.folder / "torch"
        python = place / "bin" / "python"
        _install(_TRAINING / "torch.lock", place, ["--no-deps", "--python", str(python)], python=python)
        return python

    def photographs(self, part: str) -> list[Image.Image]:
        """Photographs of `"calibration"` (and of training) or `"evaluation"`: RGB."""
        names = _JUDGED if part == "evaluation" else _LEARNED
        folder = self.packages / "skimage" / "data"
        return [Image.open(folder / name).convert("RGB") for name in names]

    def trained(self, module: str, arrays: Mapping[str, np.ndarray], *, made_from: str = "") -> Path:
        """Return the model that `training/MODULE.py` makes of `arrays`: from an earlier run, where both are the same.

        Args:
            made_from: tells the same arrays instead of their bytes, where sums make these differ a little each time.

        Raises:
            subprocess.CalledProcessError: the training failed; its output is on standard error.
        """
        digest = hashlib.sha256()
        for name in (f"{module}.py", "loop.py", "torch.lock"):
            digest.update((_TRAINING / name).read_bytes())
        digest.update(made_from.encode())
        for name, array in arrays.items():
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            if not made_from:
                digest.update(np.ascontiguousarray(array).tobytes())
        place = self.folder / "trained" / f"{module}-{digest.hexdigest()[:16]}"
        model = place / "model.onnx"
        if model.exists():
            return model
        python = self.torch
        print(f"training {module}, some minutes …", file=sys.stderr)
        place.mkdir(parents=True, exist_ok=True)
        data, partial = place / "data.npz", place / "partial.onnx"
        np.savez(data, **arrays)  # type: ignore[arg-type]  # NumPy's types take every name for `allow_pickle`
        subprocess.run(
            [python, "-m", f"tasks.training.{module}", data, partial],
            cwd=place,
            # Threads that wait by spinning take turns with everything else on a busy machine.
            env={
                **os.environ,
                "PYTHONPATH": str(_HERE.parent),
                "CUDA_VISIBLE_DEVICES": "",
                "OMP_WAIT_POLICY": "PASSIVE",
            },
            stdout=sys.stderr,
            check=True,
        )
        data.unlink()
        partial.replace(model)
        return model


def _install(lock: Path, place: Path, options: list[str], *, python: Path | None = None) -> None:
    """Lay out what `lock` pins in `place`, unless it is there: a folder of packages, or an environment."""
    stamp = place.with_name(f"{place.name}-made-from")
    made_from = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_from:
        return
    print(f"installing {lock.name} …", file=sys.stderr)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if Path("/etc/ssl/certs/ca-certificates.crt").exists():
        environment.setdefault("UV_SYSTEM_CERTS", "true")
    uv = Path(sys.executable).with_name("uv")
    if python is not None:
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, place], check=True, env=environment)
    command: list[str | Path] = [uv, "pip", "install", "--quiet", "--require-hashes", *options, "-r", lock]
    subprocess.run(command, check=True, env=environment)
    stamp.write_text(made_from, encoding="utf-8")
